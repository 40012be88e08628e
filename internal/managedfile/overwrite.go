package managedfile

import (
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// overwrite changes the content of the regular file name from before to after, which have the same
// length, in place: it needs no new block and no new name. Of each run of bytes that differ, the
// first byte is written before the others.
func (d *dir) overwrite(name string, before, after []byte) error {
	return d.change("overwrite", name, func() error {
		fd, err := unix.Openat(d.fd(), name, unix.O_WRONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		f := os.NewFile(uintptr(fd), d.join(name))
		defer f.Close()
		if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() || info.Size() != int64(len(after)) {
			return &fs.PathError{Op: "overwrite", Path: d.join(name), Err: unix.EBUSY} // it was replaced
		}
		for i := 0; i < len(after); {
			end := i
			for end < len(after) && before[end] != after[end] {
				end++
			}
			for _, part := range []struct{ from, to int }{{i, min(i+1, end)}, {min(i+1, end), end}} {
				if _, err := f.WriteAt(after[part.from:part.to], int64(part.from)); err != nil {
					return err
				}
			}
			i = max(end, i+1)
		}
		return f.Sync()
	})
}
