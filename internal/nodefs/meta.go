package nodefs

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

// Mode holds permission bits as chmod(2) takes them, including setuid, setgid and sticky. JSON has
// the octal number.
type Mode uint32

const modeBits = 0o7777

// MarshalText returns the octal form.
func (m Mode) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "%04o", uint32(m)), nil }

// UnmarshalText parses the octal form.
func (m *Mode) UnmarshalText(b []byte) error {
	n, err := strconv.ParseUint(string(b), 8, 32)
	if err != nil || n > modeBits {
		return fmt.Errorf("mode %q: not an octal number up to 7777", b)
	}
	*m = Mode(n)
	return nil
}

// FileMode returns the bits in Go's form.
func (m Mode) FileMode() fs.FileMode {
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

// ModeOf returns the permission bits of f.
func ModeOf(f fs.FileMode) Mode {
	m := Mode(f.Perm())
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

// Meta is the metadata that restore brings back.
type Meta struct {
	Mode    Mode      `json:"mode"`
	UID     int       `json:"uid"`
	GID     int       `json:"gid"`
	ModTime time.Time `json:"mtime,omitzero"`
}

// SameAccess compares mode and owner, not the time.
func (m Meta) SameAccess(n Meta) bool {
	return m.Mode == n.Mode && m.UID == n.UID && m.GID == n.GID
}

// MetaOf returns the metadata that info describes.
func MetaOf(info fs.FileInfo) Meta {
	m := Meta{Mode: ModeOf(info.Mode()), ModTime: info.ModTime().UTC()}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		m.UID, m.GID = int(st.Uid), int(st.Gid)
	}
	return m
}

func toEntry(st *unix.Stat_t) Entry {
	e := Entry{
		Kind: Other,
		Meta: Meta{
			Mode: Mode(st.Mode & modeBits), UID: int(st.Uid), GID: int(st.Gid),
			ModTime: time.Unix(st.Mtim.Unix()).UTC(),
		},
		Size: st.Size,
		ID:   FileID{uint64(st.Dev), st.Ino},
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		e.Kind = Regular
	case unix.S_IFLNK:
		e.Kind = Symlink
	case unix.S_IFDIR:
		e.Kind = Directory
	}
	return e
}

func sortEntries(entries []fs.DirEntry) {
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return cmp.Compare(a.Name(), b.Name()) })
}
