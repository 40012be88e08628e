package layout

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/berth-registry/berth/images/manifest"
	"github.com/berth-registry/berth/images/transfer"
	"github.com/berth-registry/berth/internal/atomicfile"
	"github.com/berth-registry/berth/internal/filelock"
	"github.com/berth-registry/berth/internal/plainfile"
)

// partial begins the names of files that are being written. Such a file on opening was left by a
// killed process.
const partial = ".partial-"

// indexEvery limits how long a complete image waits until index.json lists it. After a kill in
// between, the next run finds the content.
const indexEvery = time.Second

// Create opens the layout in dir for writing, and creates it if there is none. One process at a
// time can write. Call Close at the end.
func Create(dir string) (*Layout, error) {
	// A file of that name is not replaced.
	if info, err := os.Stat(dir); err == nil && !info.IsDir() {
		return nil, fmt.Errorf("%s: is not a directory; name a directory, or a path that does not exist yet", dir)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	files, err := openDirectory(dir)
	if err != nil {
		return nil, err
	}
	l := newLayout(files)
	if err := l.open(); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// open creates the layout if needed, locks it, and reads it.
func (l *Layout) open() error {
	if err := l.init(); err != nil {
		return err
	}
	lock, _, err := plainfile.Open(l.dir.root, MarkerFile, os.O_RDWR)
	if err != nil {
		return l.files.Fault(MarkerFile, err)
	}
	if err := filelock.Exclusive(lock); err != nil {
		if errors.Is(err, filelock.ErrHeld) {
			err = fmt.Errorf("%s: another process writes to this layout", l.dir.path)
		}
		return errors.Join(err, lock.Close())
	}
	l.lock = lock
	if err := l.removePartial(blobsDir+"/*/"+partial+"*", partial+"*"); err != nil {
		return err
	}
	err = l.readIndex()
	if errors.Is(err, fs.ErrNotExist) { // killed before the first index
		l.changed, err = true, nil
	}
	return err
}

// init creates the directory of blobs and the marker file, unless they exist.
func (l *Layout) init() error {
	err := l.check()
	if err == nil {
		return l.makeDir(path.Join(blobsDir, "sha256"))
	}
	entries, readErr := fs.ReadDir(l.dir.root.FS(), ".")
	if readErr != nil {
		return readErr
	}
	for _, e := range entries {
		if e.Name() != blobsDir && !strings.HasPrefix(e.Name(), partial) {
			if e.Name() == MarkerFile {
				return err
			}
			return fmt.Errorf("%w, but other files; name an empty directory", err) // not a layout
		}
	}
	if err := l.makeDir(path.Join(blobsDir, "sha256")); err != nil {
		return err
	}
	if err := l.replaceFile(MarkerFile, strings.NewReader(MarkerText)); err != nil {
		return err
	}
	return l.syncDir(".")
}

func (l *Layout) makeDir(name string) error {
	if err := l.dir.root.MkdirAll(name, 0o755); err != nil {
		return l.files.Fault(name, err)
	}
	return nil
}

func (l *Layout) removePartial(patterns ...string) error {
	for _, pattern := range patterns {
		left, err := fs.Glob(l.dir.root.FS(), pattern)
		if err != nil {
			return err
		}
		for _, name := range left {
			if err := l.dir.root.Remove(name); err != nil {
				return l.files.Fault(name, err)
			}
		}
	}
	return nil
}

// Close writes the index if needed and releases the lock.
func (l *Layout) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lock == nil {
		return l.files.Close()
	}
	return errors.Join(l.flush(), l.lock.Close(), l.files.Close())
}

// flush writes index.json. l.mu is held.
func (l *Layout) flush() error {
	if !l.changed {
		return nil
	}
	// Entries that this run has not named stay, also those without a name.
	all := slices.DeleteFunc(slices.Clone(l.index.Manifests), func(d v1.Descriptor) bool { return l.named[nameOf(d)] })
	for name := range l.named {
		all = append(all, l.byName[name])
	}
	slices.SortStableFunc(all, func(a, b v1.Descriptor) int { return strings.Compare(nameOf(a), nameOf(b)) })
	l.index.Manifests = all
	raw, err := json.Marshal(l.index)
	if err != nil {
		return err
	}
	if len(raw) > manifest.MaxSize {
		return fmt.Errorf("%s: would be larger than the limit of %d MiB; copy to several directories", filepath.Join(l.dir.path, IndexFile), manifest.MaxSize>>20)
	}
	// All content must be on disk before the index names it.
	entries, err := fs.ReadDir(l.dir.root.FS(), blobsDir)
	if err != nil {
		return l.files.Fault(blobsDir, err)
	}
	for _, e := range entries {
		if e.IsDir() {
			if err := l.syncDir(path.Join(blobsDir, e.Name())); err != nil {
				return err
			}
		}
	}
	if err := l.replaceFile(IndexFile, bytes.NewReader(raw)); err != nil {
		return err
	}
	l.changed, l.written = false, time.Now()
	return l.syncDir(".")
}

// replaceFile atomically replaces name, even a symlink, by content. Call syncDir to make the new
// name durable.
func (l *Layout) replaceFile(name string, content io.Reader) error {
	temp := path.Join(path.Dir(name), partial+rand.Text())
	return atomicfile.Temp{Dir: l.dir.root, Name: temp, Mode: 0o644}.Replace(name, content)
}

func (l *Layout) syncDir(name string) error {
	if err := atomicfile.SyncDir(l.dir.root, name); err != nil {
		return l.files.Fault(name, err)
	}
	return nil
}

// Ensure writes a blob unless it is there. An existing blob is not read; call [Layout.CheckBlob]
// first to find altered ones.
func (r *Repository) Ensure(ctx context.Context, d v1.Descriptor, _ string, open transfer.Opener) (transfer.Outcome, error) {
	l := r.layout
	name := BlobPath(d.Digest)
	if info, err := plainfile.Stat(l.dir.root, name); err == nil && info.Size() == d.Size && !l.isAltered(d.Digest) {
		return transfer.AlreadyPresent, nil
	}
	return transfer.Uploaded, l.write(ctx, name, open)
}

// isAltered reports whether CheckBlob has found a blob altered.
func (l *Layout) isAltered(d v1.Hash) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.altered[d]
}

func (l *Layout) write(ctx context.Context, name string, open transfer.Opener) error {
	if err := l.makeDir(path.Dir(name)); err != nil {
		return err
	}
	return transfer.Do(ctx, open, func(_ context.Context, body io.Reader) error {
		return l.replaceFile(name, body)
	})
}

// Put stores a manifest.
func (r *Repository) Put(ctx context.Context, _ string, c manifest.Manifest) error {
	if _, err := r.layout.Manifest(c.Desc.Digest); err == nil {
		return nil
	}
	return r.layout.write(ctx, BlobPath(c.Desc.Digest), func(context.Context) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(c.Raw)), nil
	})
}

// PutNamed stores a manifest and lists it in the index under a tag or a digest.
func (r *Repository) PutNamed(ctx context.Context, ref string, c manifest.Manifest) error {
	if err := r.Put(ctx, ref, c); err != nil {
		return err
	}
	l := r.layout
	held := HeldPlatforms(c, func(d v1.Hash) bool {
		_, err := plainfile.Stat(l.dir.root, BlobPath(d))
		return !errors.Is(err, fs.ErrNotExist)
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	l.byName[r.full(ref)] = Name(c.Desc, r.full(ref), held)
	l.named[r.full(ref)] = true
	l.changed = true
	if time.Since(l.written) < indexEvery {
		return nil
	}
	return l.flush()
}
