package safedir

import (
	"os"
	"strings"
	"testing"
)

// The tests run as root, as the program does.
func TestCheck(t *testing.T) {
	for _, c := range []struct {
		mode os.FileMode
		uid  int
		want string // in the error; "" for none
	}{
		{0o700, 0, ""},
		{0o755, 0, ""},
		{0o775, 0, "mode 0775"},
		{0o702, 0, "mode 0702"},
		{0o777 | os.ModeSticky, 0, "run: chmod go-w /var/lib/berth"},
		{0o700, 1000, "belongs to user 1000; its content is not used; check it, then run: chown root /var/lib/berth"},
	} {
		dir := t.TempDir()
		if err := os.Chmod(dir, c.mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(dir, c.uid, -1); err != nil {
			t.Fatal(err)
		}
		info, err := os.Lstat(dir)
		if err != nil {
			t.Fatal(err)
		}
		err = Check("/var/lib/berth", info)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("mode %v, user %d: %v, want %q", c.mode, c.uid, err, c.want)
		}
	}
}
