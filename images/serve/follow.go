package serve

import (
	"io"
	"io/fs"
	"os"
	"sync"
	"syscall"
	"time"
)

// Follower opens a source, and opens it again when its file has changed.
type Follower struct {
	// Open opens the source; the result is closed when no request uses it any more.
	Open func() (SourceCloser, error)
	// File is the file whose change means another content.
	File string

	mu      sync.Mutex
	current *opened
}

// SourceCloser is a source that holds files open.
type SourceCloser interface {
	Source
	io.Closer
}

// opened is a source while it is in use.
type opened struct {
	source SourceCloser
	names  names
	stamp  stamp

	f     *Follower
	users int  // requests, guarded by f.mu
	stale bool // f has a newer one
}

// stamp identifies a version of a file.
type stamp struct {
	size          int64
	written       time.Time
	device, inode uint64
}

func stampOf(info fs.FileInfo) stamp {
	s := stamp{size: info.Size(), written: info.ModTime()}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		s.device, s.inode = st.Dev, st.Ino
	}
	return s
}

// acquire returns the source in its present version. Call release afterwards. If a new version
// cannot be opened, the old one stays in use; the next request tries again.
func (f *Follower) acquire() (*opened, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	info, err := os.Stat(f.File)
	if err == nil && (f.current == nil || f.current.stamp != stampOf(info)) {
		err = f.open(stampOf(info))
	}
	if f.current == nil {
		return nil, err
	}
	f.current.users++
	return f.current, nil
}

// open replaces the current version. f.mu is held.
func (f *Follower) open(s stamp) error {
	source, err := f.Open()
	if err != nil {
		return err
	}
	old := f.current
	f.current = &opened{source: source, names: newNames(source), stamp: s, f: f}
	if old != nil {
		old.stale = true
		return old.closeUnused()
	}
	return nil
}

// release ends the use by a request.
func (o *opened) release() {
	o.f.mu.Lock()
	defer o.f.mu.Unlock()
	o.users--
	_ = o.closeUnused() // only reading: nothing is lost
}

// closeUnused closes a version that has been replaced. f.mu is held.
func (o *opened) closeUnused() error {
	if !o.stale || o.users > 0 {
		return nil
	}
	return o.source.Close()
}

// Repositories opens the source and returns the names of its repositories.
func (f *Follower) Repositories() ([]string, error) {
	o, err := f.acquire()
	if err != nil {
		return nil, err
	}
	defer o.release()
	return o.names.repositories(), nil
}

// Close closes the source. No request may be running.
func (f *Follower) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.current == nil {
		return nil
	}
	f.current.stale = true
	err := f.current.closeUnused()
	f.current = nil
	return err
}
