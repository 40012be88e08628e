package images

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/berth-registry/berth/cmd/berth/cli"
	"github.com/berth-registry/berth/images/registry"
	"github.com/berth-registry/berth/test/fakes/fakecri"
	"github.com/berth-registry/berth/test/walkthrough"
)

// imageFiles are the files that examples name.
func imageFiles(t *testing.T, redis string) {
	t.Helper()
	list, err := os.ReadFile(filepath.Join(Repository(t), "images/list/testdata/rke-system-images.txt"))
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	for name, content := range map[string]string{
		"redis.yaml": redis, "manifests/redis.yaml": redis, "manifests/deep/redis.yml": redis, "system-images.txt": string(list),
	} {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func Repository(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// chapter gives the fenced blocks of a page between two headings.
func chapter(t *testing.T, page, begin, end string) map[string][]string {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut("\n"+string(text), begin)
	if !ok {
		t.Fatalf("%s has no %q", page, begin)
	}
	rest, _, _ = strings.Cut(rest, end)
	found := map[string][]string{}
	for _, b := range walkthrough.Blocks(rest) {
		found[b.Info] = append(found[b.Info], b.Text)
	}
	return found
}

// shell runs a line as it is written, with berth below a root of the test's
// own, and programs that pass on redis.yaml in place of helm and kubectl.
func shell(t *testing.T, root, line string) (stdout string, err error) {
	t.Helper()
	script := `set -eu
berth() { command berth --root "$ROOT" "$@"; }
helm() { test "$1" = template; cat redis.yaml; }
kubectl() { case "$1" in get) cat redis.yaml ;; apply) cat ;; *) false ;; esac; }
` + line
	cmd := exec.CommandContext(t.Context(), "sh", "-c", script)
	cmd.Env = append(os.Environ(), "ROOT="+root)
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	if err = cmd.Run(); err != nil {
		t.Logf("%s", &stderr)
	}
	return out.String(), err
}

// nodeRoot is a node on which containerd runs. Its path is short: Linux takes
// 107 bytes for a socket.
func nodeRoot(t *testing.T) string {
	t.Helper()
	root, err := os.MkdirTemp("", "node")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(root) })
	if err := os.MkdirAll(filepath.Join(root, "run/containerd"), 0o755); err != nil {
		t.Fatal(err)
	}
	stop, err := fakecri.Example().Serve(filepath.Join(root, "run/containerd/containerd.sock"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	return root
}

// Every example in the help of list and rewrite works as it is written.
func TestImagesExamples(t *testing.T) {
	redis := chapter(t, filepath.Join(Repository(t), "docs/images.md"), "\n# Images", "\n## List\n")["yaml"][0]
	root := nodeRoot(t)
	imageFiles(t, redis)
	usbStick(t, "docker.io/redislabs/redis:7.2.4-64")
	ran := 0
	for _, verb := range []*cobra.Command{newList(&cli.Options{}), newRewrite(&cli.Options{})} {
		for line := range strings.Lines(verb.Example) {
			line = strings.TrimSpace(line)
			out, err := shell(t, root, line)
			if err != nil {
				t.Errorf("%s: %v", line, err)
			}
			if _, file, ok := strings.Cut(line, "> "); ok {
				data, err := os.ReadFile(file)
				if err != nil {
					t.Error(err)
				}
				out = string(data)
			}
			want := "docker.io/redislabs/redis:7.2.4-64"
			switch {
			case verb.Name() == "rewrite":
				want = "/redislabs/operator:7.2.4-7"
			case line == "berth images list":
				want = "docker.io/library/nginx:1.27"
			}
			if !strings.Contains(out, want) {
				t.Errorf("%s: no %s in\n%s", line, want, out)
			}
			ran++
		}
	}
	if ran != 9 {
		t.Errorf("%d examples ran, want 9", ran)
	}
}

// Each verb has examples, and a test that runs them.
func TestImagesVerbsHaveExamples(t *testing.T) {
	var verbs []string
	for _, verb := range New(&cli.Options{}).Commands() {
		verbs = append(verbs, verb.Name())
		if !strings.Contains(verb.Example, "berth images "+verb.Name()+" ") {
			t.Errorf("%s has no example:\n%s", verb.Name(), verb.Example)
		}
	}
	slices.Sort(verbs)
	// TestImagesExamples, TestCopyAndCheckExamples, TestServeExamples and test/images.TestLoadExamples
	// run those of these.
	if want := []string{"check", "copy", "diff", "list", "load", "rewrite", "serve"}; !slices.Equal(verbs, want) {
		t.Errorf("verbs %q, want %q", verbs, want)
	}
}

// The page shows what the commands on it print.
func TestImagesPage(t *testing.T) {
	page := filepath.Join(Repository(t), "docs/images.md")
	redis := chapter(t, page, "\n# Images", "\n## List\n")["yaml"][0]
	list, rewrite := chapter(t, page, "\n## List\n", "\n## "), chapter(t, page, "\n## Rewrite\n", "\n## ")
	root := t.TempDir()
	imageFiles(t, redis)
	out := []string{}
	for _, line := range append(list["sh"], rewrite["sh"]...) {
		text, err := shell(t, root, line)
		if err != nil {
			t.Fatalf("%s%v", line, err)
		}
		out = append(out, text)
	}
	if len(out) != 3 || out[0] != list["text"][0] || !strings.Contains(out[1], `"container": "admission"`) {
		t.Errorf("%d commands printed\n%s", len(out), strings.Join(out, "\n"))
	}
	written, err := os.ReadFile("private.yaml")
	if err != nil || string(written) != rewrite["yaml"][0] {
		t.Errorf("%v\n%s\nthe page shows\n%s", err, written, rewrite["yaml"][0])
	}
}

// TestImagesDefaults: the page tells the defaults that the flags have.
func TestImagesDefaults(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(Repository(t), "docs/images.md"))
	if err != nil {
		t.Fatal(err)
	}
	wait := strings.TrimSuffix(registry.DefaultWait.String(), "0s")
	for _, want := range []string{"`--wait` (" + wait, fmt.Sprintf("`--jobs` (%d)", registry.DefaultJobs)} {
		if !strings.Contains(string(page), want) {
			t.Errorf("docs/images.md does not say %s", want)
		}
	}
}
