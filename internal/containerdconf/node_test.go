package containerdconf_test

import (
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/berth-registry/berth/internal/containerdconf"
	"github.com/berth-registry/berth/test/nodefiles"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const main = "/etc/containerd/config.toml"

// files are the files of a node by path.
type files = nodefiles.Files

func release(t *testing.T, s string) containerdconf.Release {
	t.Helper()
	r, ok := containerdconf.ParseRelease(s)
	if !ok && s != "" {
		t.Fatalf("release %q", s)
	}
	return r
}

func TestParseRelease(t *testing.T) {
	for in, want := range map[string]string{
		"containerd github.com/containerd/containerd 1.6.20~ds1 1.6.20~ds1-1+deb12u3\n": "1.6.20",
		"containerd github.com/containerd/containerd/v2 v2.4.2 0a1b2c3\n":               "2.4.2",
		"containerd containerd.io 1.7.27 05044ec0a9a75232cad458027ca83437aae3f4da":      "1.7.27",
		"containerd github.com/k3s-io/containerd v2.0.5-k3s1":                           "2.0.5",
		"v2.1":         "2.1.0",
		"2.3.0-beta.0": "2.3.0",
		"nothing":      "of unknown version",
		"":             "of unknown version",
		"a/v2":         "of unknown version",
		"0.0.0":        "of unknown version",
		"99999.1.1":    "of unknown version",
	} {
		r, ok := containerdconf.ParseRelease(in)
		if r.String() != want || ok != (want != "of unknown version") {
			t.Errorf("%q: %s %v, want %s", in, r, ok, want)
		}
	}
}

func TestTables(t *testing.T) {
	for version, first := range map[int]string{0: "cri", 1: "cri", 2: "io.containerd.grpc.v1.cri", 3: "io.containerd.cri.v1.images", 4: "io.containerd.cri.v1.images"} {
		if got := containerdconf.Tables(version); got[0] != first || len(got) != 3 {
			t.Errorf("version %d: %q", version, got)
		}
	}
}

func TestLoad(t *testing.T) {
	node := files{
		main:                             "imports = [\"conf.d/*.toml\", \"b.toml\", \"/abs.toml\"]\n",
		"/etc/containerd/b.toml":         "version = 2\nimports = [\"config.toml\", \"b.toml\"]\n",
		"/etc/containerd/conf.d/x.toml":  "imports = [\"../../deep/*.toml\"]\n",
		"/etc/deep/y.toml":               "",
		"/conf.d/working-directory.toml": "",
		"/deep/no.toml":                  "",
		"/abs.toml":                      "",
	}
	for version, want := range map[string][]string{
		"2.4.2":  {main, "/etc/containerd/conf.d/x.toml", "/etc/containerd/b.toml", "/abs.toml", "/etc/deep/y.toml"},
		"1.7.16": {main, "/etc/containerd/conf.d/x.toml", "/etc/containerd/b.toml", "/abs.toml", "/etc/deep/y.toml"},
		"1.6.30": {main, "/etc/containerd/conf.d/x.toml", "/etc/containerd/b.toml", "/abs.toml", "/etc/deep/y.toml"},
		"":       {main, "/etc/containerd/conf.d/x.toml", "/etc/containerd/b.toml", "/abs.toml", "/etc/deep/y.toml"},
		"1.7.15": {main, "/conf.d/working-directory.toml", "/etc/containerd/b.toml", "/abs.toml"},
		"1.6.20": {main, "/conf.d/working-directory.toml", "/etc/containerd/b.toml", "/abs.toml"},
	} {
		c := containerdconf.Load(main, release(t, version), node)
		var got []string
		for _, f := range c.Files {
			if f.Err != nil {
				t.Errorf("%s: %v", f.Path, f.Err)
			}
			got = append(got, f.Path)
		}
		if !slices.Equal(got, want) || c.Missing {
			t.Errorf("%s: %q, want %q", version, got, want)
		}
	}
}

func TestLoadTooManyFiles(t *testing.T) {
	node := files{main: "imports = [\"/d/*.toml\"]\n"}
	for i := range 300 {
		node["/d/"+strings.Repeat("x", i+1)+".toml"] = ""
	}
	c := containerdconf.Load(main, containerdconf.Release{Major: 2, Minor: 4, Patch: 2}, node)
	last := c.Files[len(c.Files)-1]
	if len(c.Files) != 257 || last.Err != containerdconf.ErrImports {
		t.Errorf("%d files, the last one: %v", len(c.Files), last.Err)
	}
	if v := containerdconf.Assess(c, containerdconf.Release{Major: 2, Minor: 4, Patch: 2}); v.Honoured {
		t.Errorf("%+v", v)
	}
}

func TestMalformedPattern(t *testing.T) {
	c := containerdconf.Load(main, containerdconf.Release{Major: 2, Minor: 4, Patch: 2}, files{main: "imports = [\"/d/[*.toml\"]\n"})
	if v := containerdconf.Assess(c, release(t, "2.4.2")); v.Honoured || v.Issues[0].ID != containerdconf.IssueUnreadable {
		t.Errorf("%+v", v)
	}
}
