package filetree

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

func none(string) bool { return false }

// written returns a directory with files, a symlink and a subdirectory with a file. Times and modes
// are set, so that neither the clock nor the umask matters.
func written(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	must(t, os.Mkdir(filepath.Join(root, "dir"), 0o755))
	must(t, os.Symlink("file", filepath.Join(root, "link")))
	for _, name := range []string{"file", "dir/below", "last"} {
		path := filepath.Join(root, name)
		must(t, os.WriteFile(path, []byte("one\n"), 0o644))
		must(t, os.Chmod(path, 0o644))
		must(t, os.Chtimes(path, time.Time{}, time.Unix(1000, 0)))
	}
	must(t, os.Chmod(root, 0o755))
	must(t, os.Chmod(filepath.Join(root, "dir"), 0o755))
	return root
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, root string, skip func(string) bool) map[string]string {
	t.Helper()
	found, err := Read(root, skip)
	must(t, err)
	return found
}

func TestDifferences(t *testing.T) {
	// kept writes other content and restores the time.
	kept := func(path string) error {
		if err := os.WriteFile(path, []byte("two\n"), 0o644); err != nil {
			return err
		}
		return os.Chtimes(path, time.Time{}, time.Unix(1000, 0))
	}
	for name, c := range map[string]struct {
		change func(root string) error
		want   []string
	}{
		"nothing":              {func(string) error { return nil }, nil},
		"content":              {func(root string) error { return kept(root + "/file") }, []string{"changed: /file\n"}},
		"content further down": {func(root string) error { return kept(root + "/dir/below") }, []string{"changed: /dir/below\n"}},
		"time": {
			func(root string) error { return os.Chtimes(root+"/file", time.Time{}, time.Unix(1000, 1)) },
			[]string{"changed: /file\n"},
		},
		"time of a directory": {func(root string) error { return os.Chtimes(root+"/dir", time.Time{}, time.Unix(1000, 1)) }, nil},
		"mode":                {func(root string) error { return os.Chmod(root+"/file", 0o600) }, []string{"changed: /file\n"}},
		"set user id":         {func(root string) error { return os.Chmod(root+"/file", 0o644|fs.ModeSetuid) }, []string{"changed: /file\n"}},
		"mode of a directory": {func(root string) error { return os.Chmod(root+"/dir", 0o700) }, []string{"changed: /dir\n"}},
		"mode of the root":    {func(root string) error { return os.Chmod(root, 0o711) }, []string{"changed: \n"}},
		"target of a link": {func(root string) error {
			if err := os.Remove(root + "/link"); err != nil {
				return err
			}
			return os.Symlink("last", root+"/link")
		}, []string{"changed: /link\n"}},
		"a file in the place of a link": {func(root string) error {
			if err := os.Remove(root + "/link"); err != nil {
				return err
			}
			return os.WriteFile(root+"/link", []byte("one\n"), 0o777)
		}, []string{"changed: /link\n"}},
		"gone": {func(root string) error { return os.Remove(root + "/file") }, []string{"gone: /file "}},
		"gone, a directory": {
			func(root string) error { return os.RemoveAll(root + "/dir") },
			[]string{"gone: /dir ", "gone: /dir/below "},
		},
		"new":            {func(root string) error { return os.WriteFile(root+"/dir/more", nil, 0o600) }, []string{"new: /dir/more "}},
		"new, directory": {func(root string) error { return os.Mkdir(root+"/more", 0o755) }, []string{"new: /more "}},
		"new, link":      {func(root string) error { return os.Symlink("nowhere", root+"/more") }, []string{"new: /more "}},
		"another name": {
			func(root string) error { return os.Rename(root+"/file", root+"/a") },
			[]string{"new: /a ", "gone: /file "},
		},
	} {
		t.Run(name, func(t *testing.T) {
			root := written(t)
			before := read(t, root, none)
			must(t, c.change(root))
			got := Differences(before, read(t, root, none))
			if len(got) != len(c.want) {
				t.Fatalf("%q, want %q", got, c.want)
			}
			for i, want := range c.want {
				if !strings.HasPrefix(got[i], want) {
					t.Errorf("%q, want %q", got[i], want)
				}
			}
		})
	}
}

// owned is a file of another user: only root can change the owner.
type owned struct {
	fs.FileInfo
	stat syscall.Stat_t
}

func (o owned) Sys() any { return &o.stat }

func TestDifferentOwner(t *testing.T) {
	path := filepath.Join(written(t), "file")
	info, err := os.Lstat(path)
	must(t, err)
	lines := map[string]bool{}
	for _, owner := range []syscall.Stat_t{{Uid: 10, Gid: 10}, {Uid: 11, Gid: 10}, {Uid: 10, Gid: 11}} {
		line, err := describe(path, owned{info, owner})
		must(t, err)
		lines[line] = true
	}
	if len(lines) != 3 {
		t.Errorf("three owners look like this: %q", slices.Collect(maps.Keys(lines)))
	}
}

func TestReadSkips(t *testing.T) {
	root := written(t)
	for skipped, want := range map[string][]string{
		"/dir":       {"", "/file", "/last", "/link"},
		"/dir/below": {"", "/dir", "/file", "/last", "/link"},
		"/file":      {"", "/dir", "/dir/below", "/last", "/link"}, // and not what comes after it
		"/other":     {"", "/dir", "/dir/below", "/file", "/last", "/link"},
	} {
		found := read(t, root, func(name string) bool { return name == skipped })
		if got := slices.Sorted(maps.Keys(found)); !slices.Equal(got, want) {
			t.Errorf("without %s: %q, want %q", skipped, got, want)
		}
	}
}

func TestReadNothing(t *testing.T) {
	if found, err := Read(filepath.Join(t.TempDir(), "none"), none); err == nil {
		t.Errorf("a directory that is not there is %q", found)
	}
}
