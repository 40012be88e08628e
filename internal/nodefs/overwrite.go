package nodefs

import (
	"io/fs"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// Overwrite changes the content of the regular file name from before to after, which have the same
// length, in place: it needs no new block and no new name. Of each run of bytes that differ, the
// first byte is written before the others. The last run is written first, and the marker line last.
func (d *Dir) Overwrite(name string, before, after []byte) error {
	fd, err := unix.Openat(d.fd(), name, unix.O_WRONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return &fs.PathError{Op: "open", Path: d.Join(name), Err: err}
	}
	f := os.NewFile(uintptr(fd), d.Join(name))
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() || info.Size() != int64(len(after)) {
		return &fs.PathError{Op: "overwrite", Path: d.Join(name), Err: unix.EBUSY} // it was replaced
	}
	for _, r := range slices.Backward(differences(before, after)) {
		for _, part := range [][2]int{{r[0], r[0] + 1}, {r[0] + 1, r[1]}} {
			if err := d.change("overwrite", name, func() error {
				_, err := f.WriteAt(after[part[0]:part[1]], int64(part[0]))
				return err
			}); err != nil {
				return err
			}
		}
	}
	return d.change("sync", name, f.Sync)
}

// differences returns the ranges of bytes in which two contents of the same length differ.
func differences(before, after []byte) (runs [][2]int) {
	for i := range after {
		switch n := len(runs); {
		case before[i] == after[i]:
		case n > 0 && runs[n-1][1] == i:
			runs[n-1][1]++
		default:
			runs = append(runs, [2]int{i, i + 1})
		}
	}
	return runs
}
