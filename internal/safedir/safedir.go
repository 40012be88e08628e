// Package safedir checks whether the content of a directory can be trusted: a user who can write to
// a directory can replace every file in it, even files of other owners.
package safedir

import (
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"syscall"
)

// Check refuses a directory that is owned by a user other than root and this process's, or that
// group or others can write to, as ssh does. path is used in the error, which contains the command
// to run. info must describe the directory itself, not a symlink to it.
func Check(path string, info fs.FileInfo) error {
	const remedy = "its content is not used; check it, then run: "
	if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Uid != 0 && int(st.Uid) != os.Geteuid() {
		owner := "root"
		if uid := os.Geteuid(); uid != 0 {
			owner = strconv.Itoa(uid)
		}
		return fmt.Errorf("%s: belongs to user %d; %schown %s %s", path, st.Uid, remedy, owner, path)
	}
	if perm := info.Mode().Perm(); perm&0o022 != 0 {
		return fmt.Errorf("%s: other users can write to it (mode %04o); %schmod go-w %s", path, perm, remedy, path)
	}
	return nil
}
