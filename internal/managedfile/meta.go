package managedfile

import (
	"cmp"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// mode holds permission bits as chmod(2) takes them, including setuid, setgid and sticky. JSON has
// the octal number.
type mode uint32

const modeBits = 0o7777

// MarshalText returns the octal form.
func (m mode) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "%04o", uint32(m)), nil }

// UnmarshalText parses the octal form.
func (m *mode) UnmarshalText(b []byte) error {
	n, err := strconv.ParseUint(string(b), 8, 32)
	if err != nil || n > modeBits {
		return fmt.Errorf("mode %q: not an octal number up to 7777", b)
	}
	*m = mode(n)
	return nil
}

// fileMode returns the bits in Go's form.
func (m mode) fileMode() fs.FileMode {
	f := fs.FileMode(m & 0o777)
	if m&unix.S_ISUID != 0 {
		f |= fs.ModeSetuid
	}
	if m&unix.S_ISGID != 0 {
		f |= fs.ModeSetgid
	}
	if m&unix.S_ISVTX != 0 {
		f |= fs.ModeSticky
	}
	return f
}

func modeOf(f fs.FileMode) mode {
	m := mode(f.Perm())
	if f&fs.ModeSetuid != 0 {
		m |= unix.S_ISUID
	}
	if f&fs.ModeSetgid != 0 {
		m |= unix.S_ISGID
	}
	if f&fs.ModeSticky != 0 {
		m |= unix.S_ISVTX
	}
	return m
}

// meta is the metadata that restore brings back.
type meta struct {
	Mode    mode      `json:"mode"`
	UID     int       `json:"uid"`
	GID     int       `json:"gid"`
	ModTime time.Time `json:"mtime,omitzero"`
}

// sameAccess compares mode and owner, not the time.
func (m meta) sameAccess(n meta) bool {
	return m.Mode == n.Mode && m.UID == n.UID && m.GID == n.GID
}

func metaOf(info fs.FileInfo) meta {
	m := meta{Mode: modeOf(info.Mode()), ModTime: info.ModTime().UTC()}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		m.UID, m.GID = int(st.Uid), int(st.Gid)
	}
	return m
}

func toEntry(st *unix.Stat_t) entry {
	e := entry{
		kind: Other,
		meta: meta{
			Mode: mode(st.Mode & modeBits), UID: int(st.Uid), GID: int(st.Gid),
			ModTime: time.Unix(st.Mtim.Unix()).UTC(),
		},
		size: st.Size,
		id:   fileID{uint64(st.Dev), st.Ino},
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		e.kind = Regular
	case unix.S_IFLNK:
		e.kind = Symlink
	case unix.S_IFDIR:
		e.kind = Dir
	}
	return e
}

func sortEntries(entries []fs.DirEntry) {
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return cmp.Compare(a.Name(), b.Name()) })
}
