package bundle

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/berth-registry/berth/internal/atomicfile"
	"github.com/berth-registry/berth/internal/filelock"
)

// volume is the bytes of a bundle in one file, or in several that are cut at a limit.
type volume struct {
	files []*os.File
	ends  []int64 // of each file, in the bundle
}

// openVolume opens files for reading.
func openVolume(names []string) (*volume, error) {
	v := &volume{}
	for _, name := range names {
		// A fifo must not block.
		f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0)
		if err != nil {
			return nil, errors.Join(err, v.Close())
		}
		v.files = append(v.files, f)
		info, err := f.Stat()
		if err == nil && !info.Mode().IsRegular() {
			err = fmt.Errorf("%s: is not a regular file; name a bundle that berth images copy has written", name)
		}
		if err != nil {
			return nil, errors.Join(err, v.Close())
		}
		v.ends = append(v.ends, v.size()+info.Size())
	}
	return v, nil
}

func (v *volume) size() int64 {
	if len(v.ends) == 0 {
		return 0
	}
	return v.ends[len(v.ends)-1]
}

// ReadAt implements [io.ReaderAt].
func (v *volume) ReadAt(p []byte, off int64) (int, error) {
	n, begin := 0, int64(0)
	for i, f := range v.files {
		at := off + int64(n)
		if at < v.ends[i] && n < len(p) {
			here := p[n:min(int64(len(p)), int64(n)+v.ends[i]-at)]
			m, err := f.ReadAt(here, at-begin)
			if n += m; m < len(here) {
				if err == nil || err == io.EOF {
					err = io.ErrUnexpectedEOF // the file became shorter
				}
				return n, err
			}
		}
		begin = v.ends[i]
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// Close closes all files.
func (v *volume) Close() error {
	var errs []error
	for _, f := range v.files {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}

// partial is what a name gets until the bundle is complete.
const partial = ".partial"

// output is a volume that is written, under names of its own until it is complete.
type output struct {
	volume
	name  string
	limit int64 // bytes of each part; 0: not split
	dir   *os.Root
}

// openOutput opens what an earlier run has left, or a new file. One process at a time can do so.
func openOutput(name string, limit int64) (*output, error) {
	dir, err := os.OpenRoot(filepath.Dir(name))
	if err != nil {
		return nil, err
	}
	o := &output{name: name, limit: limit, dir: dir}
	if err := o.open(); err != nil {
		return nil, errors.Join(err, o.Close())
	}
	return o, nil
}

func (o *output) open() error {
	other := part(o.name, 0) + partial
	if o.limit > 0 {
		other = o.name + partial
	}
	if _, err := o.dir.Lstat(filepath.Base(other)); err == nil {
		return fmt.Errorf("%s: is from a run with another --split; remove it, or use the same", other)
	}
	if err := o.next(); err != nil {
		return err
	}
	first := filepath.Base(o.temp(0))
	if err := filelock.ExclusiveAt(o.files[0], func() (fs.FileInfo, error) { return o.dir.Lstat(first) }); err != nil {
		return fmt.Errorf("%s: another process writes this bundle: %w", o.name, err)
	}
	info, err := o.files[0].Stat()
	if err != nil {
		return err
	}
	o.ends[0] = info.Size()
	for o.limit > 0 && o.size() == int64(len(o.files))*o.limit && len(o.files) < maxParts {
		if _, err := o.dir.Lstat(filepath.Base(o.temp(len(o.files)))); err != nil {
			break
		}
		if err := o.next(); err != nil {
			return err
		}
		last := len(o.files) - 1
		if info, err = o.files[last].Stat(); err != nil {
			return err
		}
		o.ends[last] += info.Size()
	}
	if o.limit > 0 && o.size() > int64(len(o.files))*o.limit {
		return o.truncate(0) // another limit
	}
	return nil
}

// temp is the path of part i while it is written, final the one afterwards.
func (o *output) temp(i int) string { return o.final(i) + partial }

func (o *output) final(i int) string {
	if o.limit == 0 {
		i = -1
	}
	return part(o.name, i)
}

// next opens the next part.
func (o *output) next() error {
	i := len(o.files)
	if i == maxParts {
		return fmt.Errorf("%s: has more than %d parts; make them larger with --split", o.name, maxParts)
	}
	name := filepath.Base(o.temp(i))
	// O_NOFOLLOW: a symlink under this name is not ours.
	f, err := o.dir.OpenFile(name, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0o644)
	if err != nil {
		return fmt.Errorf("%s: %w", o.temp(i), withoutPath(err))
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s: is not a regular file; remove it", o.temp(i))
	}
	if err != nil {
		return errors.Join(err, f.Close())
	}
	o.files, o.ends = append(o.files, f), append(o.ends, o.size())
	return nil
}

// Write appends.
func (o *output) Write(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		last := len(o.files) - 1
		room := int64(len(p) - n)
		if o.limit > 0 {
			if room = min(room, int64(len(o.files))*o.limit-o.size()); room == 0 {
				if err := o.next(); err != nil {
					return n, err
				}
				if err := o.files[last+1].Truncate(0); err != nil {
					return n, err
				}
				continue
			}
		}
		begin := int64(0)
		if last > 0 {
			begin = o.ends[last-1]
		}
		m, err := o.files[last].WriteAt(p[n:int64(n)+room], o.size()-begin)
		n += m
		o.ends[last] += int64(m)
		if err != nil {
			return n, fmt.Errorf("%s: %w", o.temp(last), withoutPath(err))
		}
	}
	return n, nil
}

// truncate removes all bytes from size on.
func (o *output) truncate(size int64) error {
	for last := len(o.files) - 1; ; last-- {
		begin := int64(0)
		if last > 0 {
			begin = o.ends[last-1]
		}
		if last == 0 || size > begin {
			o.ends[last] = size
			return o.files[last].Truncate(size - begin)
		}
		if err := errors.Join(o.files[last].Close(), o.dir.Remove(filepath.Base(o.temp(last)))); err != nil {
			return err
		}
		o.files, o.ends = o.files[:last], o.ends[:last]
	}
}

// commit gives the files their names, the first one last.
func (o *output) commit() error {
	for _, f := range o.files {
		if err := f.Sync(); err != nil {
			return err
		}
	}
	for i := len(o.files) - 1; i >= 0; i-- {
		if i == 0 && len(o.files) > 1 {
			if err := atomicfile.SyncDir(o.dir, "."); err != nil {
				return err
			}
		}
		if err := o.dir.Rename(filepath.Base(o.temp(i)), filepath.Base(o.final(i))); err != nil {
			return fmt.Errorf("%s: %w", o.final(i), withoutPath(err))
		}
	}
	return atomicfile.SyncDir(o.dir, ".")
}

// Close closes all files. What is not committed stays for the next run.
func (o *output) Close() error { return errors.Join(o.volume.Close(), o.dir.Close()) }

func withoutPath(err error) error {
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return errno
	}
	return err
}
