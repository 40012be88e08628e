package nodefiles

import (
	"errors"
	"io/fs"
	"path"
	"slices"
	"testing"
)

func TestFiles(t *testing.T) {
	node := Files{"/d/b.toml": "b", "/d/a.toml": "a", "/d/e/c.toml": "", "/d/a.conf": ""}
	if content, err := node.ReadFile("/d/a.toml"); err != nil || string(content) != "a" {
		t.Errorf("%q, %v", content, err)
	}
	if _, err := node.ReadFile("/d"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
	for pattern, want := range map[string][]string{
		"/d/*.toml":   {"/d/a.toml", "/d/b.toml"},
		"/d/*/*.toml": {"/d/e/c.toml"},
		"/d/b.toml":   {"/d/b.toml"},
		"d/*.toml":    nil,
	} {
		if got, err := node.Glob(pattern); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %q, %v, want %q", pattern, got, err, want)
		}
	}
	if _, err := node.Glob("/d/[a"); !errors.Is(err, path.ErrBadPattern) {
		t.Errorf("a bad pattern: %v", err)
	}
}
