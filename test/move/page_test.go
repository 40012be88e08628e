package move

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// block is a fenced block of a page: the words after the fence, and the text.
//
//	sh        commands, run in the directory of the fixture: "node" is on a node,
//	          "inside" is behind the air gap
//	text      the output of the commands before it, with their exit code
//	yaml toml a file, if its first line is a comment with its name
type block struct{ info, text string }

var (
	fence    = regexp.MustCompile("(?ms)^```([^\n]*)\n(.*?)^```$")
	fileName = regexp.MustCompile(`\A# (\S+\.(?:ya?ml|toml))\n`)
)

func blocksOf(page string) []block {
	var all []block
	for _, m := range fence.FindAllStringSubmatch(page, -1) {
		all = append(all, block{m[1], m[2]})
	}
	return all
}

// step is a block of commands that was run.
type step struct {
	block
	printed string
	code    int
	took    time.Duration
	asked   map[string]int // requests to each registry
}

// walk follows a page in its order. The problems are all differences from the page; a command that
// cannot be run ends the walk.
func (w *fixture) walk(ctx context.Context, page string) (steps []step, problems []string) {
	all := blocksOf(page)
	for i, b := range all {
		language, _, _ := strings.Cut(b.info, " ")
		var err error
		switch language {
		case "yaml", "toml":
			err = w.file(b.text)
		case "text":
			if i == 0 || !strings.HasPrefix(all[i-1].info, "sh") || b.text == "" {
				err = fmt.Errorf("no command comes before this output, or it is empty:\n%s", b.text)
			}
		case "sh":
			var s step
			if s, err = w.run(ctx, b); err != nil {
				break
			}
			steps = append(steps, s)
			var want block
			if i+1 < len(all) && strings.HasPrefix(all[i+1].info, "text") {
				want = all[i+1]
			}
			if !fits(want.text, s.printed) {
				problems = append(problems, fmt.Sprintf("%sthe page shows\n%s\nit printed\n%s", b.text, want.text, s.printed))
			}
			if s.code != exitCode(want) {
				err = fmt.Errorf("%sexit code %d, and the page says %d; it printed\n%s", b.text, s.code, exitCode(want), s.printed)
			}
		default:
			err = fmt.Errorf("a block of %q", b.info)
		}
		if err != nil {
			return steps, append(problems, err.Error())
		}
	}
	return steps, problems
}

// exitCode returns the exit code that the page gives for the commands before an output.
func exitCode(output block) int {
	if output.info == "text exit 1" {
		return 1
	}
	return 0
}

// fits compares the page's output with the actual one. An ellipsis matches anything; a page without
// output matches everything.
func fits(shown, printed string) bool {
	pattern := strings.ReplaceAll(regexp.QuoteMeta(shown), "…", "(?s:.+?)")
	return shown == "" || regexp.MustCompile(`\A`+pattern+`\z`).MatchString(printed)
}

// file writes a block that names a file: on the node if the name is absolute. The paths of files
// that a config names are not resolved below the node's root, so they are replaced by paths of this
// machine.
func (w *fixture) file(content string) error {
	m := fileName.FindStringSubmatch(content)
	if m == nil {
		return fmt.Errorf("a file without a name in its first line:\n%s", content)
	}
	name := m[1]
	if filepath.IsAbs(name) {
		name = filepath.Join("node", name)
		content = strings.ReplaceAll(content, ": /etc/berth/", ": "+filepath.Join(w.dir, "node/etc/berth")+"/")
	}
	return w.write(name, content)
}

// run runs a block of commands at the place that it names.
func (w *fixture) run(ctx context.Context, b block) (step, error) {
	place := "workstation"
	w.internet.All()
	for _, word := range strings.Fields(b.info)[1:] {
		switch word {
		case "node":
			place = word
		case "inside":
			w.internet.Only(corp)
		default:
			return step{}, fmt.Errorf("commands that are run %q: it is not known where that is", word)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	before := w.asked()
	s, began := step{block: b}, time.Now()
	var err error
	s.printed, s.code, err = w.shell(ctx, place, b.text)
	s.took = time.Since(began)
	s.asked = w.asked()
	for name := range s.asked {
		s.asked[name] -= before[name]
	}
	return s, err
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
		t.Logf("%s(%s, %s)\n%s", s.text, s.took.Round(time.Millisecond), s.info, s.printed)
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
		if strings.Contains(s.printed, pusher.password) || strings.Contains(s.printed, puller.password) && !strings.Contains(s.text, "convert") {
			t.Errorf("%sprinted a password", s.text)
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
		if !strings.Contains(s.info, "node") {
			continue
		}
		switch {
		case strings.Contains(s.text, "restore"):
			closed = false
		case strings.Contains(s.printed, "update /etc/containerd/certs.d/docker.io") || strings.Contains(s.info, "inside"):
			closed = true
		}
		if !closed || !strings.Contains(s.text, "trace") {
			continue
		}
		traced++
		if s.asked[corp] == 0 || s.asked[hub]+s.asked[quay] > 0 {
			t.Errorf("%sasked %v", s.text, s.asked)
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
