package move

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/berth-registry/berth/test/walkthrough"
)

// step is a block of commands that was run.
type step struct {
	walkthrough.Step
	asked map[string]int // requests to each registry
}

// walk follows a page in its order.
func (w *fixture) walk(ctx context.Context, page string) (steps []step, problems []string) {
	w.requests = nil
	ran, problems := walkthrough.Walk(ctx, page, w)
	for i, s := range ran {
		steps = append(steps, step{s, w.requests[i]})
	}
	return steps, problems
}

// File writes a file: on the node if its name is absolute. The paths of files that a config names
// are not resolved below the node's root, so they are replaced by paths of this machine.
func (w *fixture) File(name, content string) error {
	if filepath.IsAbs(name) {
		name = filepath.Join("node", name)
		content = strings.ReplaceAll(content, ": /etc/berth/", ": "+filepath.Join(w.dir, "node/etc/berth")+"/")
	}
	return w.write(name, content)
}

// Run runs commands in the directory of the fixture: "node" is on a node, "inside" is behind the
// air gap.
func (w *fixture) Run(ctx context.Context, words []string, commands string) (string, int, error) {
	place := "workstation"
	w.internet.All()
	for _, word := range words {
		switch word {
		case "node":
			place = word
		case "inside":
			w.internet.Only(corp)
		default:
			return "", 0, fmt.Errorf("commands that are run %q: it is not known where that is", word)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	before := w.asked()
	printed, code, err := w.shell(ctx, place, commands)
	asked := w.asked()
	for name := range asked {
		asked[name] -= before[name]
	}
	w.requests = append(w.requests, asked)
	return printed, code, err
}

const page = "../../docs/move-to-a-private-registry.md"

// TestPage follows the page, and checks the registries afterwards.
func TestPage(t *testing.T) {
	w := newFixture(t)
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	steps, problems := w.walk(t.Context(), string(text))
	for _, s := range steps {
		t.Logf("%s(%s, %s)\n%s", s.Text, s.Took.Round(time.Millisecond), s.Info, s.Printed)
	}
	for _, p := range problems {
		t.Error(p)
	}
	if t.Failed() {
		return
	}
	if len(steps) < 20 {
		t.Errorf("only %d blocks of commands were run", len(steps))
	}
	w.checkMoved(t)
	w.checkSecrets(t, steps)
	w.checkSwitched(t, steps)
	w.checkCluster(t)
}

// checkMoved checks that every image is at the page's destination, byte for byte.
func (w *fixture) checkMoved(t *testing.T) {
	t.Helper()
	for from, images := range moved() {
		for _, name := range images {
			repository, tag, _ := strings.Cut(name, ":")
			to := repository
			switch {
			case from == k8s:
				continue // is not moved
			case strings.HasPrefix(name, "redislabs/"):
				to = "mirror/" + repository
			}
			if want, got := w.registries[from].Manifest(repository, tag), w.registries[corp].Manifest(to, tag); !bytes.Equal(want, got) || want == nil {
				t.Errorf("%s of %s: %s has %q, want %q", name, from, corp, got, want)
			}
		}
	}
}

// checkSecrets checks that only registry.corp gets a login, and that no output has a password.
func (w *fixture) checkSecrets(t *testing.T, steps []step) {
	t.Helper()
	for name, s := range w.registries {
		for _, r := range s.Requests() {
			if name != corp && r.Authorization != "" {
				t.Errorf("%s saw a login with %s", name, r)
			}
		}
	}
	for _, s := range steps {
		// convert prints a config with the passwords of cluster.yml.
		if strings.Contains(s.Printed, pusher.password) || strings.Contains(s.Printed, puller.password) && !strings.Contains(s.Text, "convert") {
			t.Errorf("%sprinted a password", s.Text)
		}
	}
	if refused := w.internet.Refused(); len(refused) > 0 {
		t.Errorf("requests would have left the machine: %q", refused)
	}
}

// checkSwitched checks that nodes ask only registry.corp from the time when the network to Docker
// Hub is closed until berth restores them.
func (w *fixture) checkSwitched(t *testing.T, steps []step) {
	t.Helper()
	closed, traced := false, 0
	for _, s := range steps {
		if !strings.Contains(s.Info, "node") {
			continue
		}
		switch {
		case strings.Contains(s.Text, "restore"):
			closed = false
		case strings.Contains(s.Printed, "update /etc/containerd/certs.d/docker.io") || strings.Contains(s.Info, "inside"):
			closed = true
		}
		if !closed || !strings.Contains(s.Text, "trace") {
			continue
		}
		traced++
		if s.asked[corp] == 0 || s.asked[hub]+s.asked[quay] > 0 {
			t.Errorf("%sasked %v", s.Text, s.asked)
		}
	}
	if traced != 2 {
		t.Errorf("%d blocks trace on a switched node, want 2", traced)
	}
}

// checkCluster checks that the cluster uses the rewritten manifests.
func (w *fixture) checkCluster(t *testing.T) {
	t.Helper()
	c, err := openCluster(filepath.Join(w.dir, "cluster.json"))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(c.Secrets, []string{"regcred"}) || len(c.pods()) != 3 {
		t.Errorf("the cluster has the secrets %q and %d pods", c.Secrets, len(c.pods()))
	}
	if lacking := c.withoutSecret("regcred"); len(lacking) > 0 {
		t.Errorf("without the pull secret: %q", lacking)
	}
}

// A page with an error must not pass.
func TestWalkNotices(t *testing.T) {
	w := newFixture(t)
	const lists = "```yaml\n# pod.yaml\nkind: Pod\nspec: {containers: [{image: a:1}]}\n```\n\n```sh\nberth images list -f pod.yaml | head -n 1\n```\n\n"
	for name, c := range map[string]struct{ page, problem string }{
		"right":             {lists + "```text\n# docker.io: … image\n```\n", ""},
		"output":            {lists + "```text\n# docker.io: 2 images\n```\n", "it printed\n# docker.io: 1 image"},
		"an empty output":   {lists + "```text\n```\n", "or it is empty"},
		"half an output":    {lists + "```text\n# docker.io\n```\n", "it printed"},
		"exit code":         {lists + "```text exit 1\n# docker.io: 1 image\n```\n", "exit code 0, and the page says 1"},
		"a flag":            {"```sh\nberth images list --nonesuch\n```\n", "exit code 2"},
		"a verb":            {"```sh\nberth images lst -f pod.yaml | cat\n```\n", "exit code"},
		"a file":            {"```sh\nberth images list -f nonesuch.yaml\n```\n", "exit code 1"},
		"kubectl":           {"```sh\nkubectl delete pod --all\n```\n", "nothing that it knows"},
		"rke":               {"```sh\nrke up\n```\n", "nothing that it knows"},
		"a place":           {"```sh elsewhere\ntrue\n```\n", "not known where that is"},
		"output of nothing": {"```text\nx\n```\n", "no command comes before"},
		"no name":           {"```yaml\nkind: Pod\n```\n", "without a name"},
		"no language":       {"```\nberth\n```\n", "a block of"},
		"behind the gap":    {"```sh inside\nberth trace redislabs/redis:7.2.4-64\n```\n", "no host will serve it"},
		"somewhere else":    {"```sh\nberth trace ghcr.io/a/b:1\n```\n", "no host will serve it"},
		"not the pusher":    {"```sh node\nberth images copy redislabs/redis:7.2.4-64 --to registry.corp\n```\n", "exit code 1"},
	} {
		_, problems := w.walk(t.Context(), c.page)
		if got := strings.Join(problems, "\n"); (c.problem == "") != (got == "") || !strings.Contains(got, c.problem) {
			t.Errorf("%s: want a problem with %q, got %q", name, c.problem, got)
		}
	}
	if len(w.internet.Refused()) == 0 {
		t.Error("no request was kept from leaving the machine")
	}
}
