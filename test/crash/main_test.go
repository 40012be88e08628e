package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/berth-registry/berth/internal/managedfile"
)

func TestCheckLimits(t *testing.T) {
	good, control := result{trials: 8, inside: 2}, result{tornReads: 1}
	if err := checkLimits(good, control); err != nil {
		t.Errorf("%v", err)
	}
	for name, r := range map[string]result{
		"torn read":         {trials: 8, inside: 8, tornReads: 1},
		"torn file":         {trials: 8, inside: 8, tornFiles: 1},
		"leftover":          {trials: 8, inside: 8, temps: 1},
		"kills beside them": {trials: 8, inside: 1},
	} {
		if checkLimits(r, control) == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if checkLimits(good, result{}) == nil {
		t.Error("a harness that sees nothing passes")
	}
}

// The faults that the reader and inspect must find, and states that are no faults.
func TestFaultsAreFound(t *testing.T) {
	dir := t.TempDir()
	host := hostDirs()[0]
	f := managedfile.File{Path: host + "/hosts.toml", Body: []byte(host + "/hosts.toml\n"), Comment: "#"}
	write := func(p string, content []byte) {
		t.Helper()
		at := filepath.Join(dir, p)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	expect := func(what string, torn, temps, reads int) {
		t.Helper()
		gotTorn, gotTemps, err := inspect(dir)
		if err != nil || len(gotTorn) != torn || len(gotTemps) != temps {
			t.Errorf("%s: torn %v, temps %v, %v", what, gotTorn, gotTemps, err)
		}
		r := &reader{dir: dir}
		r.look(host)
		if r.torn != reads {
			t.Errorf("%s: %d torn reads", what, r.torn)
		}
	}
	expect("nothing", 0, 0, 0)
	write(f.Path, f.Content())
	expect("whole", 0, 0, 0)
	write(f.Path, f.Content()[:90])
	expect("torn", 1, 0, 1)
	write(f.Path, nil)
	expect("empty", 1, 0, 1)
	if err := os.Remove(filepath.Join(dir, f.Path)); err != nil {
		t.Fatal(err)
	}
	expect("a directory without its file", 1, 0, 1)
	write(f.Path, f.Content())
	write(certs+"/_berth-tmp-0123456789abcdef-new/hosts.toml", nil)
	expect("temporary", 0, 1, 0)
}
