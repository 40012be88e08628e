package place

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/berth-registry/berth/internal/nodefs"
	"github.com/berth-registry/berth/node/providerconfig"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	binDir = providerconfig.ProgramDir
	config = providerconfig.File
)

// node is a node with the directories that the chart mounts.
type node struct {
	*testing.T
	root, source string
	log          bytes.Buffer
}

func newNode(t *testing.T) *node {
	t.Helper()
	n := &node{T: t, root: t.TempDir(), source: filepath.Join(t.TempDir(), providerconfig.Provider)}
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

const (
	provider = binDir + "/" + providerconfig.Provider
	fetcher  = binDir + "/" + providerconfig.Fetcher
)

// release replaces the programs in the image.
func (n *node) release(content string) {
	n.Helper()
	n.check(os.WriteFile(n.source, []byte(content), 0o755))
	n.check(os.WriteFile(filepath.Join(filepath.Dir(n.source), providerconfig.Fetcher), []byte(content), 0o755))
}

// has checks the content of the programs on the node.
func (n *node) has(wantFetcher, wantProvider string) {
	n.Helper()
	if f, p := n.read(fetcher), n.read(provider); f != wantFetcher || p != wantProvider {
		n.Errorf("the programs are %q and %q, want %q and %q", f, p, wantFetcher, wantProvider)
	}
}

// options are those of the chart. text is the configuration; "" is the published one.
func (n *node) options(text string) Options {
	n.Helper()
	n.log.Reset()
	root, err := nodefs.OpenRoot(n.root)
	n.check(err)
	n.Cleanup(func() { root.Close() })
	o := Options{Root: root, Program: n.source, Dir: binDir, Config: config, Text: []byte(text), Log: slog.New(slog.NewJSONHandler(&n.log, nil))}
	if text == "" {
		o.Text = providerconfig.ConfigRequiringRules()
	}
	return o
}

func (n *node) put() {
	n.Helper()
	n.check(Put(n.options("")))
}

func (n *node) remove() {
	n.Helper()
	n.check(Remove(n.options("")))
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

// files lists all files on the node.
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
	n.put()
	n.has("one", "one")
	for _, name := range []string{fetcher, provider} {
		if info, err := os.Stat(filepath.Join(n.root, name)); err != nil || info.Mode() != 0o755 {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got := n.read(config); !strings.Contains(got, "kind: CredentialProviderConfig") || !strings.Contains(got, "- name: "+providerconfig.Provider) {
		t.Errorf("the configuration is\n%s", got)
	}
	before := n.read(config)
	n.put()
	if n.log.Len() > 0 || n.read(config) != before {
		t.Errorf("the second run does something: %s", &n.log)
	}
	n.remove()
	if left := n.files(); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
	n.remove()
}

func TestFollowsReleases(t *testing.T) {
	n := newNode(t)
	for _, version := range []string{"one", "two", "three"} {
		n.release(version)
		n.check(Put(n.options("providers: # " + version + "\n")))
		n.has(version, version)
		if got := n.read(config); !strings.Contains(got, "# "+version) {
			t.Errorf("the configuration of %s is\n%s", version, got)
		}
	}
	n.remove()
	if left := n.files(); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

// A foreign or edited program or configuration stays as it is.
func TestLeavesOthersAlone(t *testing.T) {
	for name, c := range map[string]struct {
		path, content string
		placedFirst   bool
		stays         []string // after --remove
	}{
		"program":              {provider, "theirs", false, []string{provider}},
		"program put in place": {provider, "theirs", true, []string{provider}},
		"fetcher":              {fetcher, "theirs", false, []string{fetcher}},
		"fetcher put in place": {fetcher, "theirs", true, []string{fetcher}},
		"configuration":        {config, "providers: [{name: other}]\n", false, []string{config}},
		"configuration that names it": {
			config, "providers: [{name: " + providerconfig.Provider + "}]\n", false,
			[]string{config, fetcher, provider, recordFile},
		},
		"edited configuration": {
			config, "providers: [{name: " + providerconfig.Provider + "}]\n", true,
			[]string{config, fetcher, provider, recordFile},
		},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t)
			if c.placedFirst {
				n.put()
			}
			n.write(c.path, c.content)
			n.release("two")
			n.put()
			if got := n.read(c.path); got != c.content {
				t.Errorf("%s became %q", c.path, got)
			}
			if !strings.Contains(n.log.String(), c.path) {
				t.Errorf("the log does not name it: %s", &n.log)
			}
			n.remove()
			want := slices.Sorted(slices.Values(c.stays))
			if got := n.files(); !slices.Equal(got, want) {
				t.Errorf("stays: %q, want %q", got, want)
			}
		})
	}
}

// A killed copy leaves a temporary file, which the next run removes.
func TestSweepsHalfACopy(t *testing.T) {
	n := newNode(t)
	n.write(binDir+"/_berth-tmp-0123456789abcdef-file", "on")
	n.write(binDir+"/another", "theirs")
	n.put()
	want := []string{config, binDir + "/another", fetcher, provider, recordFile}
	slices.Sort(want)
	if got := n.files(); !slices.Equal(got, want) {
		t.Errorf("there are %q, want %q", got, want)
	}
}

// The release before this one had one program, which works until both of this one are in place.
func TestUpgradeFromOneProgram(t *testing.T) {
	n := newNode(t)
	n.put()
	raw := n.read(recordFile)
	n.check(os.Remove(filepath.Join(n.root, fetcher)))
	var ours map[string][]string
	n.check(json.Unmarshal([]byte(raw), &ours))
	delete(ours, fetcher)
	old, err := json.Marshal(ours)
	n.check(err)
	n.write(recordFile, string(old))

	// A copy that fails leaves the node as the earlier release left it.
	n.release("two")
	n.check(os.Remove(n.source))
	if err := Put(n.options("")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without a program: %v", err)
	}
	n.has("", "one")
	n.release("two")
	n.put()
	n.has("two", "two")
	n.remove()
	if left := n.files(); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

// Programs of two versions would not work together: both are replaced, or neither.
func TestReplacesBothOrNeither(t *testing.T) {
	for _, c := range []struct{ foreign, wantFetcher, wantProvider string }{
		{provider, "one", "theirs"}, {fetcher, "theirs", "one"},
	} {
		n := newNode(t)
		n.put()
		n.write(c.foreign, "theirs")
		n.release("two")
		n.put()
		n.has(c.wantFetcher, c.wantProvider)
	}
	// A missing one is written: kubelet does not start without it.
	n := newNode(t)
	n.write(fetcher, "theirs")
	n.put()
	n.has("theirs", "one")
}

// The configuration never names a missing program.
func TestProgramComesFirst(t *testing.T) {
	n := newNode(t)
	n.check(os.Remove(n.source))
	if err := Put(n.options("")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without a program: %v", err)
	}
	if left := n.files(); len(left) > 0 {
		t.Errorf("there are %q", left)
	}
}
