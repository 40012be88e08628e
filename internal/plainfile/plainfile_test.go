package plainfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestOpen(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(outside, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	for _, err := range []error{
		os.MkdirAll(at("sub/dir"), 0o755),
		os.WriteFile(at("sub/file"), []byte("content"), 0o600),
		os.WriteFile(at("large"), make([]byte, 3000), 0o600),
		unix.Mkfifo(at("fifo"), 0o600),
		os.Symlink(outside, at("out")),
		os.Symlink("../"+filepath.Base(filepath.Dir(outside)), at("up")),
		os.Symlink(filepath.Dir(outside), at("linked")),
		os.Symlink("/dev/zero", at("endless")),
		os.Symlink("circle", at("circle")),
		os.Symlink("nowhere", at("dangling")),
		os.Symlink("sub/file", at("inside")),
		unix.Mknod(at("null"), unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3))),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for name, want := range map[string]string{
		"sub/file": "", "inside": "",
		"absent": "no such file", "sub/absent": "no such file",
		"sub/dir":         "is not a regular file of this directory: it is a directory",
		"fifo":            "is not a regular file of this directory: it is a fifo",
		"null":            "is not a regular file of this directory: it is a device",
		"out":             "is not a regular file of this directory: it is a symlink",
		"up/secret":       "is not a regular file of this directory: up is a symlink",
		"linked/secret":   "is not a regular file of this directory: linked is a symlink",
		"endless":         "is not a regular file of this directory: it is a symlink",
		"circle":          "is not a regular file of this directory: it is a symlink",
		"dangling":        "is not a regular file of this directory: it is a symlink",
		"../etc/hostname": "escapes",
		"large":           "is larger than the 2 KiB that such a file can have",
	} {
		content, err := Read(root, name, 2<<10)
		switch {
		case want == "" && (err != nil || string(content) != "content"):
			t.Errorf("%s: %q %v", name, content, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: %v, want %q", name, err, want)
		}
		if errors.Is(err, fs.ErrNotExist) != (want == "no such file") {
			t.Errorf("%s: %v", name, err)
		}
		if strings.HasPrefix(want, "is not a regular") && !errors.Is(err, ErrNotRegular) {
			t.Errorf("%s: %v is not ErrNotRegular", name, err)
		}
	}
}
