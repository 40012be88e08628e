package node_test

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/berth-registry/berth/internal/containerdconf"
	"github.com/berth-registry/berth/test/nodefiles"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// releases are the versions that the corpus is read as: one for each way to read it,
// and the two that run in the end-to-end tests.
var releases = []containerdconf.Release{
	{Major: 1, Minor: 6, Patch: 20}, {Major: 1, Minor: 7, Patch: 28}, {Major: 2, Minor: 0, Patch: 7}, {Major: 2, Minor: 1, Patch: 5},
	{Major: 2, Minor: 2, Patch: 0}, {Major: 2, Minor: 3, Patch: 4}, {Major: 2, Minor: 4, Patch: 2}, {},
}

// shape is one configuration of the corpus in testdata/config.
type shape struct {
	dir    string
	path   string // of the main file on the node
	files  nodefiles.Files
	opts   containerdconf.Options
	source string
}

// shapes reads the corpus. source.txt says where each configuration is from, and the paths of
// its files on a node.
func shapes(t *testing.T) []shape {
	t.Helper()
	dirs, err := filepath.Glob("testdata/config/*")
	if err != nil {
		t.Fatal(err)
	}
	var all []shape
	for _, dir := range dirs {
		raw, err := os.ReadFile(filepath.Join(dir, "source.txt"))
		if err != nil {
			t.Fatal(err)
		}
		s := shape{dir: dir, files: nodefiles.Files{}, source: string(raw)}
		for line := range strings.Lines(string(raw)) {
			key, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
			switch key {
			case "path":
				s.path = value
				if data, err := os.ReadFile(filepath.Join(dir, "config.toml")); err == nil {
					s.files[value] = string(data)
				}
			case "file":
				name, on, _ := strings.Cut(value, " ")
				data, err := os.ReadFile(filepath.Join(dir, name))
				if err != nil {
					t.Fatal(err)
				}
				s.files[on] = string(data)
			case "default":
				s.opts.Default = value
			}
		}
		all = append(all, s)
	}
	return all
}

// TestCorpus checks the verdict and the files to write for each configuration and version of
// containerd. The end-to-end tests run the same files with the real daemons.
func TestCorpus(t *testing.T) {
	all := shapes(t)
	if len(all) < 50 {
		t.Fatalf("%d shapes", len(all))
	}
	real, named := 0, 0
	for _, s := range all {
		if !strings.Contains(s.source, "from: ") && !strings.Contains(s.source, "shape: ") {
			t.Errorf("%s: no source", s.dir)
		}
		if strings.HasPrefix(s.source, "kind: real") {
			real++
		}
		if strings.Contains(s.source, "from: ") {
			named++
		}
		t.Run(filepath.Base(s.dir), func(t *testing.T) { s.golden(t) })
	}
	if real < 8 || named < 20 {
		t.Errorf("%d files of distributions and tools as they are, %d written after one", real, named-real)
	}
}

func (s shape) golden(t *testing.T) {
	var all []section
	wanted := map[string][]byte{"want.txt": nil}
	for _, r := range releases {
		var text strings.Builder
		conf := containerdconf.Load(s.path, r, s.files)
		before := containerdconf.Assess(conf, r)
		fmt.Fprintf(&text, "  before: %s\n", formatVerdict(before))
		s.wire(t, &text, "wire", conf, r, s.opts, wanted)
		if slices.ContainsFunc(before.Issues, func(t containerdconf.Issue) bool {
			return t.Blocking && slices.Contains([]containerdconf.IssueID{containerdconf.IssueMirrors, containerdconf.IssueMirrorsBeside, containerdconf.IssueTLS}, t.ID)
		}) {
			opts := s.opts
			opts.DropMirrors = true
			s.wire(t, &text, "without mirrors", conf, r, opts, wanted)
		}
		if n := len(all); n > 0 && all[n-1].text == text.String() {
			all[n-1].releases += ", " + r.String()
			continue
		}
		all = append(all, section{r.String(), text.String()})
	}
	for _, c := range all {
		wanted["want.txt"] = fmt.Appendf(wanted["want.txt"], "containerd %s\n%s", c.releases, c.text)
	}
	old, err := filepath.Glob(filepath.Join(s.dir, "want*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range old {
		if _, ok := wanted[filepath.Base(file)]; ok {
			continue
		}
		if !*update {
			t.Errorf("%s is not wanted", file)
		} else if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range wanted {
		file := filepath.Join(s.dir, name)
		if *update {
			if err := os.WriteFile(file, want, 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if got, err := os.ReadFile(file); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %v; -update writes it. Now it would be\n%s", file, err, want)
		}
	}
}

// section is the result for one or several releases.
type section struct{ releases, text string }

// wire describes the result of Wire and keeps the files that it wants to write.
func (s shape) wire(t *testing.T, text *strings.Builder, label string, conf containerdconf.Config, r containerdconf.Release, o containerdconf.Options, wanted map[string][]byte) {
	w, err := containerdconf.Wire(conf, r, o)
	if err != nil {
		fmt.Fprintf(text, "  %s: refused: %v\n", label, err)
		return
	}
	if len(w.Files) == 0 {
		fmt.Fprintf(text, "  %s: nothing to do\n", label)
		return
	}
	after := maps.Clone(s.files)
	for _, f := range w.Files {
		after[f.Path] = string(f.After)
		fmt.Fprintf(text, "  %s: %s%s is %s\n", label, f.Path, map[bool]string{true: ", a drop-in,"}[f.DropIn], nameResult(wanted, r, f.After))
		if !f.DropIn && string(f.Before) != s.files[f.Path] {
			t.Errorf("containerd %s: %s: before is %q", r, f.Path, f.Before)
		}
	}
	again := containerdconf.Load(s.path, r, after)
	verdict := containerdconf.Assess(again, r)
	fmt.Fprintf(text, "  %s, after: %s\n", label, formatVerdict(verdict))
	if !verdict.Honoured || verdict.CertsDir != w.CertsDir {
		t.Errorf("containerd %s: after it: %+v", r, verdict)
	}
	if twice, err := containerdconf.Wire(again, r, o); err != nil || len(twice.Files) > 0 || twice.CertsDir != w.CertsDir {
		t.Errorf("containerd %s: the second time: %v %+v", r, err, twice.Files)
	}
}

// nameResult names a result after the first release that has it.
func nameResult(wanted map[string][]byte, r containerdconf.Release, data []byte) string {
	for name, have := range wanted {
		if bytes.Equal(have, data) {
			return name
		}
	}
	base := "want-" + r.String()
	if r.IsZero() {
		base = "want-unknown"
	}
	name := base + ".toml"
	for i := 2; wanted[name] != nil; i++ {
		name = fmt.Sprintf("%s-%d.toml", base, i)
	}
	wanted[name] = data
	return name
}

// formatVerdict formats a verdict as one line and a line for each issue.
func formatVerdict(v containerdconf.Assessment) string {
	var b strings.Builder
	if v.Honoured {
		fmt.Fprintf(&b, "honoured, %s", v.CertsDir)
	} else {
		b.WriteString("not honoured")
	}
	if v.LocalPull != "" {
		fmt.Fprintf(&b, ", local pull for %s", v.LocalPull)
	}
	for _, t := range v.Issues {
		fmt.Fprintf(&b, "\n    %s %s %s", map[bool]string{true: "trap", false: "note"}[t.Blocking], t.ID, t.Where)
	}
	return b.String()
}
