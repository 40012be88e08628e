package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	binDir = "/usr/local/libexec/berth"
	config = "/etc/berth/credential-provider-config.yaml"
)

// node is a node with the directories that the chart mounts.
type node struct {
	*testing.T
	root, source string
	log          bytes.Buffer
}

func newNode(t *testing.T) *node {
	t.Helper()
	n := &node{T: t, root: t.TempDir(), source: filepath.Join(t.TempDir(), program)}
	for _, dir := range []string{binDir, filepath.Dir(config), "/var/lib/berth"} {
		n.check(os.MkdirAll(filepath.Join(n.root, dir), 0o755))
	}
	n.release("one")
	return n
}

func (n *node) check(err error) {
	n.Helper()
	if err != nil {
		n.Fatal(err)
	}
}

// release makes another program the one that the image holds.
func (n *node) release(content string) {
	n.Helper()
	n.check(os.WriteFile(n.source, []byte(content), 0o755))
}

func (n *node) run(args ...string) {
	n.Helper()
	n.log.Reset()
	if code := run(append([]string{"--root", n.root, "--provider", n.source}, args...), &n.log); code != 0 {
		n.Fatalf("exit code %d: %s", code, &n.log)
	}
}

func (n *node) read(name string) string {
	n.Helper()
	raw, err := os.ReadFile(filepath.Join(n.root, name))
	if os.IsNotExist(err) {
		return ""
	}
	n.check(err)
	return string(raw)
}

func (n *node) write(name, content string) {
	n.Helper()
	n.check(os.WriteFile(filepath.Join(n.root, name), []byte(content), 0o644))
}

// files lists what there is.
func (n *node) files() []string {
	n.Helper()
	var found []string
	n.check(filepath.WalkDir(n.root, func(path string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			found = append(found, strings.TrimPrefix(path, n.root))
		}
		return err
	}))
	return found
}

func TestPlacesAndTakesAway(t *testing.T) {
	n := newNode(t)
	n.run()
	if got := n.read(binDir + "/" + program); got != "one" {
		t.Errorf("the program is %q", got)
	}
	if info, err := os.Stat(filepath.Join(n.root, binDir, program)); err != nil || info.Mode() != 0o755 {
		t.Errorf("the program: %v, %v", info.Mode(), err)
	}
	if got := n.read(config); !strings.Contains(got, "kind: CredentialProviderConfig") || !strings.Contains(got, "- name: "+program) {
		t.Errorf("the configuration is\n%s", got)
	}
	before := n.read(config)
	n.run()
	if n.log.Len() > 0 || n.read(config) != before {
		t.Errorf("the second run does something: %s", &n.log)
	}
	n.run("--remove")
	if left := n.files(); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
	n.run("--remove")
}

func TestFollowsReleases(t *testing.T) {
	n := newNode(t)
	for _, version := range []string{"one", "two", "three"} {
		n.release(version)
		text := filepath.Join(t.TempDir(), "config.yaml")
		n.check(os.WriteFile(text, []byte("providers: # "+version+"\n"), 0o644))
		n.run("--config-from", text)
		if got := n.read(binDir + "/" + program); got != version {
			t.Errorf("the program is %q, want %q", got, version)
		}
		if got := n.read(config); !strings.Contains(got, "# "+version) {
			t.Errorf("the configuration of %s is\n%s", version, got)
		}
	}
	n.run("--remove")
	if left := n.files(); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

// A program or a configuration of somebody else is used as it is and stays; so
// does one that was edited.
func TestLeavesOthersAlone(t *testing.T) {
	for name, c := range map[string]struct {
		path, content string
		placedFirst   bool
		stays         []string // after --remove
	}{
		"program":              {binDir + "/" + program, "theirs", false, []string{binDir + "/" + program}},
		"program put in place": {binDir + "/" + program, "theirs", true, []string{binDir + "/" + program}},
		"configuration":        {config, "providers: [{name: other}]\n", false, []string{config}},
		"configuration that names it": {
			config, "providers: [{name: " + program + "}]\n", false,
			[]string{config, binDir + "/" + program, record},
		},
		"edited configuration": {
			config, "providers: [{name: " + program + "}]\n", true,
			[]string{config, binDir + "/" + program, record},
		},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t)
			if c.placedFirst {
				n.run()
			}
			n.write(c.path, c.content)
			n.release("two")
			n.run()
			if got := n.read(c.path); got != c.content {
				t.Errorf("%s became %q", c.path, got)
			}
			if !strings.Contains(n.log.String(), c.path) {
				t.Errorf("the log does not name it: %s", &n.log)
			}
			n.run("--remove")
			want := slices.Sorted(slices.Values(c.stays))
			if got := n.files(); !slices.Equal(got, want) {
				t.Errorf("stays: %q, want %q", got, want)
			}
		})
	}
}

// Killed in the middle of a copy: half of it lies beside, never in its place.
func TestSweepsHalfACopy(t *testing.T) {
	n := newNode(t)
	n.write(binDir+"/_berth-tmp-0123456789abcdef-file", "on")
	n.write(binDir+"/another", "theirs")
	n.run()
	want := []string{config, binDir + "/another", binDir + "/" + program, record}
	slices.Sort(want)
	if got := n.files(); !slices.Equal(got, want) {
		t.Errorf("there are %q, want %q", got, want)
	}
}

// The configuration must not name a program that is not there.
func TestProgramComesFirst(t *testing.T) {
	n := newNode(t)
	n.check(os.Remove(n.source))
	if code := run([]string{"--root", n.root, "--provider", n.source}, &n.log); code != 1 {
		t.Errorf("exit code %d without a program", code)
	}
	if left := n.files(); len(left) > 0 {
		t.Errorf("there are %q", left)
	}
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{{"--nonsense"}, {"word"}} {
		var log bytes.Buffer
		if code := run(args, &log); code != 2 {
			t.Errorf("%q: exit code %d", args, code)
		}
	}
}
