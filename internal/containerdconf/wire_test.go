package containerdconf_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/berth-registry/berth/internal/containerdconf"
)

const set = "version = 3\n[plugins.'io.containerd.cri.v1.images'.registry]\nconfig_path = '/srv/certs.d'\n"

func TestWireDir(t *testing.T) {
	r := release(t, "2.4.2")
	for _, test := range []struct {
		name string
		opts containerdconf.Options
		dir  string
		file bool
	}{
		{"what is set stays", containerdconf.Options{Default: "/other"}, "/srv/certs.d", false},
		{"unless another one is asked for", containerdconf.Options{Dir: "/x/"}, "/x", true},
		{"the same in another spelling", containerdconf.Options{Dir: "/srv/../srv/certs.d/"}, "/srv/certs.d", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			w, err := containerdconf.Wire(containerdconf.Load(main, r, files{main: set}), r, test.opts)
			if err != nil || w.CertsDir != test.dir || len(w.Files) > 0 != test.file || !w.Verdict.Honoured {
				t.Fatalf("%v %+v", err, w)
			}
			if test.file && string(w.Files[0].After) != strings.Replace(set, "/srv/certs.d", "/x", 1) {
				t.Errorf("%s", w.Files[0].After)
			}
		})
	}
	w, err := containerdconf.Wire(containerdconf.Load(main, r, files{}), r, containerdconf.Options{Default: "/other"})
	if err != nil || w.CertsDir != "/other" || len(w.Files) != 1 || w.Files[0].Before != nil || w.Files[0].DropIn {
		t.Errorf("%v %+v", err, w)
	}
}

func TestWireRefuses(t *testing.T) {
	r := release(t, "2.4.2")
	for _, dir := range []string{"certs.d", "/a:/b"} {
		if _, err := containerdconf.Wire(containerdconf.Load(main, r, files{main: set}), r, containerdconf.Options{Dir: dir}); !errors.Is(err, containerdconf.ErrDir) {
			t.Errorf("%s: %v", dir, err)
		}
	}
	var refused *containerdconf.RefusedError
	_, err := containerdconf.Wire(containerdconf.Load(main, r, files{main: "version = 9\n"}), r, containerdconf.Options{})
	if !errors.As(err, &refused) || refused.Issue.ID != containerdconf.IssueVersion ||
		err.Error() != main+":1:1: version 9 is newer than containerd 2.4.2 reads; write a config.toml of version 4 for this containerd, or upgrade it" {
		t.Errorf("%v", err)
	}
	// A key cannot change a table that is a list.
	_, err = containerdconf.Wire(containerdconf.Load(main, r, files{main: "[[plugins]]\n"}), r, containerdconf.Options{})
	if !errors.Is(err, containerdconf.ErrUnsupported) {
		t.Errorf("%v", err)
	}
}

// TestWireChangesLastFile checks that the change is made in the last file, because a later file
// wins.
func TestWireChangesLastFile(t *testing.T) {
	list := "version = 3\n[plugins.'io.containerd.cri.v1.images'.registry]\nconfig_path = '/a:/b'\n"
	for name, test := range map[string]struct {
		node files
		file string
	}{
		"a drop-in after the others": {files{main: "version = 3\nimports = ['/d/*.toml']\n", "/d/50.toml": list}, "/d/99-berth.toml"},
		"a later name":               {files{main: "version = 3\nimports = ['/d/*.toml']\n", "/d/99-x.toml": list}, "/d/zz-berth.toml"},
		"none is late enough":        {files{main: "version = 3\nimports = ['/d/*.toml']\n", "/d/zzz.toml": list}, "/d/zzz.toml"},
		"a file that is named after": {files{main: "version = 3\nimports = ['/d/*.toml', '/last.toml']\n", "/last.toml": list}, "/last.toml"},
		"a directory behind it":      {files{main: "version = 3\nimports = ['/d/*.toml']\n", "/d/a.toml": list + "\n", "/d/b.toml": "version = 3\nimports = ['/e/*.toml']\n"}, ""},
		"other names only":           {files{main: list + "\n#\n", "/d/a.conf": ""}, main},
		"a pattern for other names":  {files{main: "imports = ['/d/*.conf']\n" + list}, main},
		"a pattern of directories":   {files{main: "imports = ['/d/*/x.toml']\n" + list}, main},
	} {
		t.Run(name, func(t *testing.T) {
			r := release(t, "2.4.2")
			w, err := containerdconf.Wire(containerdconf.Load(main, r, test.node), r, containerdconf.Options{})
			if err != nil || len(w.Files) != 1 || test.file != "" && w.Files[0].Path != test.file {
				t.Fatalf("%v %+v", err, w.Files)
			}
			test.node[w.Files[0].Path] = string(w.Files[0].After)
			if v := containerdconf.Assess(containerdconf.Load(main, r, test.node), r); !v.Honoured || v.CertsDir != w.CertsDir {
				t.Errorf("%+v", v)
			}
		})
	}
}

// FuzzWire checks that no input panics, that containerd honours the result, and that a second call
// changes nothing.
func FuzzWire(f *testing.F) {
	for _, seed := range []string{set, "", "plugins.cri = {}", "version = 2\nimports = ['/d/*.toml']\n[plugins.\"io.containerd.grpc.v1.cri\".registry.mirrors.a]\n"} {
		f.Add([]byte(seed), []byte("version = 3\n"), uint8(6), true)
		f.Add([]byte("version = 2\nimports = ['/d/*.toml']\n"), []byte(seed), uint8(0), false)
	}
	releases := []containerdconf.Release{{Major: 1, Minor: 6, Patch: 20}, {Major: 1, Minor: 7, Patch: 28}, {Major: 2, Minor: 0, Patch: 7},
		{Major: 2, Minor: 1}, {Major: 2, Minor: 2}, {Major: 2, Minor: 3, Patch: 4}, {Major: 2, Minor: 4, Patch: 2}, {}}
	f.Fuzz(func(t *testing.T, first, second []byte, n uint8, drop bool) {
		r := releases[int(n)%len(releases)]
		node := files{main: string(first), "/d/x.toml": string(second)}
		w, err := containerdconf.Wire(containerdconf.Load(main, r, node), r, containerdconf.Options{DropMirrors: drop})
		if err != nil {
			return
		}
		for _, change := range w.Files {
			node[change.Path] = string(change.After)
		}
		c := containerdconf.Load(main, r, node)
		if v := containerdconf.Assess(c, r); !v.Honoured || v.CertsDir != w.CertsDir {
			t.Errorf("%+v\n%q", v, node)
		}
		if again, err := containerdconf.Wire(c, r, containerdconf.Options{DropMirrors: drop}); err != nil || len(again.Files) > 0 {
			t.Errorf("the second time: %v %+v", err, again.Files)
		}
	})
}
