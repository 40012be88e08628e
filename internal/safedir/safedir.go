// Package safedir tells whether what lies in a directory can be believed: who
// may write to a directory can replace every file in it, whoever owns that file.
package safedir

import (
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"syscall"
)

// Check refuses a directory that belongs to another user than root and the one
// of this process, or that others may write to, as ssh does. path is for the
// error, which says what to run; info describes the directory itself, not a
// link to it.
func Check(path string, info fs.FileInfo) error {
	const remedy = "what is in it is not used; look at it, then run: "
	if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Uid != 0 && int(st.Uid) != os.Geteuid() {
		owner := "root"
		if uid := os.Geteuid(); uid != 0 {
			owner = strconv.Itoa(uid)
		}
		return fmt.Errorf("%s: belongs to user %d; %schown %s %s", path, st.Uid, remedy, owner, path)
	}
	if perm := info.Mode().Perm(); perm&0o022 != 0 {
		return fmt.Errorf("%s: others may write to it (mode %04o); %schmod go-w %s", path, perm, remedy, path)
	}
	return nil
}
