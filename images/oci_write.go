package images

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sys/unix"
)

// partial begins the names of files that are being written. One that is found
// was left by a process that was killed.
const partial = ".partial-"

// indexEvery is how long a finished image may wait until index.json names it.
// A process that is killed before finds the content when it runs again.
const indexEvery = time.Second

// writeLayout opens the layout in dir to add to it, and makes it if there is
// none. One process at a time writes to a layout. Close it.
func writeLayout(dir string) (*layout, error) {
	if err := makeLayout(dir); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(dir, layoutFile), os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = fmt.Errorf("%s: another process writes to this layout", dir)
		}
		return nil, errors.Join(err, lock.Close())
	}
	l, err := openLocked(dir)
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	l.lock = lock
	return l, nil
}

func openLocked(dir string) (*layout, error) {
	if err := removePartial(filepath.Join(dir, blobsDir, "*"), dir); err != nil {
		return nil, err
	}
	l, err := openLayout(dir)
	if errors.Is(err, fs.ErrNotExist) { // killed before there was an index
		l, err = &layout{dir: dir, index: newIndex(), byName: map[string]v1.Descriptor{}, changed: true}, nil
	}
	return l, err
}

// makeLayout makes the directory and says what it is, unless it is there.
func makeLayout(dir string) error {
	err := checkLayout(dir)
	if err == nil {
		return os.MkdirAll(filepath.Join(dir, blobsDir, "sha256"), 0o755)
	}
	entries, readErr := os.ReadDir(dir)
	if readErr != nil && !errors.Is(readErr, fs.ErrNotExist) {
		return readErr
	}
	for _, e := range entries {
		if e.Name() != blobsDir && !strings.HasPrefix(e.Name(), partial) {
			return fmt.Errorf("%w, and other things", err) // somebody's directory
		}
	}
	if err := os.MkdirAll(filepath.Join(dir, blobsDir, "sha256"), 0o755); err != nil {
		return err
	}
	if err := replaceFile(filepath.Join(dir, layoutFile), strings.NewReader(layoutText)); err != nil {
		return err
	}
	return syncDirs(dir)
}

func removePartial(dirs ...string) error {
	for _, dir := range dirs {
		left, err := filepath.Glob(filepath.Join(dir, partial+"*"))
		if err != nil {
			return err
		}
		for _, name := range left {
			if err := os.Remove(name); err != nil {
				return err
			}
		}
	}
	return nil
}

// close writes the index if need be and lets others write.
func (l *layout) close() error {
	if l.lock == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return errors.Join(l.flush(), l.lock.Close())
}

// flush writes index.json. The lock is held.
func (l *layout) flush() error {
	if !l.changed {
		return nil
	}
	names := map[string]bool{}
	for _, d := range l.byName {
		names[layoutName(d)] = true
	}
	// Entries without a name are somebody's, and stay.
	all := slices.DeleteFunc(slices.Clone(l.index.Manifests), func(d v1.Descriptor) bool { return names[layoutName(d)] })
	for _, d := range l.byName {
		all = append(all, d)
	}
	slices.SortStableFunc(all, func(a, b v1.Descriptor) int { return strings.Compare(layoutName(a), layoutName(b)) })
	l.index.Manifests = all
	raw, err := json.Marshal(l.index)
	if err != nil {
		return err
	}
	// What the index names must be there for good before the index is.
	blobs, err := filepath.Glob(filepath.Join(l.dir, blobsDir, "*"))
	if err != nil {
		return err
	}
	if err := syncDirs(blobs...); err != nil {
		return err
	}
	if err := replaceFile(filepath.Join(l.dir, indexFile), bytes.NewReader(raw)); err != nil {
		return err
	}
	l.changed, l.written = false, time.Now()
	return syncDirs(l.dir)
}

// replaceFile puts content in place of name, all of it or nothing. That the
// name is there for good is for syncDirs to see to.
func replaceFile(name string, content io.Reader) (err error) {
	f, err := os.CreateTemp(filepath.Dir(name), partial)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			// The first error is the one to tell.
			_ = f.Close()
			_ = os.Remove(f.Name())
		}
	}()
	if _, err = io.Copy(f, content); err != nil {
		return err
	}
	if err = f.Chmod(0o644); err != nil {
		return err
	}
	if err = f.Sync(); err != nil {
		return err
	}
	if err = f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}

func syncDirs(dirs ...string) error {
	for _, dir := range dirs {
		d, err := os.Open(dir)
		if err != nil {
			return err
		}
		if err := errors.Join(d.Sync(), d.Close()); err != nil {
			return err
		}
	}
	return nil
}

// ensure has a blob in the layout.
func (r *layoutRepository) ensure(ctx context.Context, d v1.Descriptor, _ string, open opener) (outcome, error) {
	name := r.layout.blobPath(d.Digest)
	if info, err := os.Stat(name); err == nil && info.Size() == d.Size {
		return wasThere, nil
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return wasThere, err
	}
	return uploaded, transfer(ctx, open, func(_ context.Context, body io.Reader) error {
		return replaceFile(name, body)
	})
}

// put stores a manifest.
func (r *layoutRepository) put(ctx context.Context, _ string, c content) error {
	_, err := r.ensure(ctx, c.desc, "", func(context.Context) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(c.raw)), nil
	})
	return err
}

// nameIt stores a manifest and lists it in the index under a tag or a digest.
func (r *layoutRepository) nameIt(ctx context.Context, ref string, c content) error {
	if err := r.put(ctx, ref, c); err != nil {
		return err
	}
	l := r.layout
	l.mu.Lock()
	defer l.mu.Unlock()
	d := c.desc
	d.Annotations = map[string]string{annotationName: r.full(ref)}
	l.byName[r.full(ref)] = d
	l.changed = true
	if time.Since(l.written) < indexEvery {
		return nil
	}
	return l.flush()
}
