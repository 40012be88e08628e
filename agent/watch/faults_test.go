package watch

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"
)

// faultyNotifier is fsnotify with faults that a test turns on.
type faultyNotifier struct {
	opens atomic.Int64
	fail  func() error // of Open; nil: it works

	mu       sync.Mutex
	real     *fsnotify.Watcher
	refuse   func(dir string) error // of Add
	adds     int
	losing   bool   // events are lost
	lastLost string // the last lost event
	errs     chan error
}

func (f *faultyNotifier) open() (*Notifier, error) {
	f.opens.Add(1)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fail != nil {
		if err := f.fail(); err != nil {
			return nil, err
		}
	}
	real, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, err
	}
	f.real = real
	f.errs = make(chan error)
	events, errs := make(chan fsnotify.Event), make(chan error)
	go func() {
		defer close(events)
		defer close(errs)
		for {
			select {
			case e, ok := <-real.Events:
				if !ok {
					return
				}
				f.mu.Lock()
				deaf := f.losing
				if deaf {
					f.lastLost = e.Name
				}
				f.mu.Unlock()
				if !deaf {
					events <- e
				}
			case err, ok := <-real.Errors:
				if ok {
					errs <- err
				}
			case err := <-f.errs:
				errs <- err
			}
		}
	}()
	return &Notifier{Dirs: f, Events: events, Errors: errs, Close: real.Close}, nil
}

func (f *faultyNotifier) Add(dir string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.adds++
	if f.refuse != nil {
		if err := f.refuse(dir); err != nil {
			return err
		}
	}
	return f.real.Add(dir)
}

func (f *faultyNotifier) Remove(dir string) error { return f.real.Remove(dir) }
func (f *faultyNotifier) WatchList() []string     { return f.real.WatchList() }

func (f *faultyNotifier) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

// stopLosing ends the loss of events, once all events up to now are lost.
func (f *faultyNotifier) stopLosing(r *reader) {
	r.t.Helper()
	canary := r.path("fence/canary")
	r.write("fence/canary", "x")
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		f.mu.Lock()
		done := f.lastLost == canary
		f.losing = !done
		f.lastLost = ""
		f.mu.Unlock()
		if done {
			return
		}
		if time.Now().After(deadline) {
			r.t.Fatal("the canary made no event")
		}
		r.remove("fence/canary")
		r.write("fence/canary", "x")
	}
}

// state waits until the watcher is ok, or not ok with a reason that contains words.
func (r *reader) state(words string) {
	r.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		ok, why := r.w.(*Watcher).State()
		if ok == (words == "") && strings.Contains(why, words) {
			return
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("state is %v %q, not %q", ok, why, words)
		}
		time.Sleep(time.Millisecond)
	}
}

// logged returns how often the log contains words.
func (r *reader) logged(words string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Count(r.log.String(), words)
}

func TestOverflow(t *testing.T) {
	f := &faultyNotifier{}
	r := newReader(t, Options{Open: f.open}, []string{"a/config.yaml"}, []string{"certs.d"})
	r.does(func() { r.mkdir("certs.d/docker.io") })
	for i := range 5 {
		sub := fmt.Sprintf("certs.d/host%d", i)
		r.settle()
		f.set(func() { f.losing = true })
		r.mkdir(sub)
		r.write(sub+"/hosts.toml", "1")
		r.remove("certs.d/docker.io") // the next one may get its inode number
		r.mkdir("certs.d/docker.io")
		r.remove("a")
		r.mkdir("a")
		r.write("a/config.yaml", sub)
		if i == 0 {
			// The control: without events the reader sees nothing.
			if r.missed(200*time.Millisecond) == "" {
				t.Fatal("the events were not lost: this test proves nothing")
			}
		}
		f.stopLosing(r)
		f.errs <- fsnotify.ErrEventOverflow
		r.current()
		r.does(func() { r.write(sub+"/hosts.toml", "2") })
		r.does(func() { r.write("certs.d/docker.io/hosts.toml", sub) })
		r.does(func() { r.write("a/config.yaml", "again") })
		r.state("")
	}
	if n := r.logged("events were lost"); n != 5 {
		t.Errorf("5 overflows are logged %d times", n)
	}
}

// A directory whose parent was moved keeps its watch, under a path that means another directory by
// now.
func TestOverflowLeavesNoWatch(t *testing.T) {
	f := &faultyNotifier{}
	r := newReader(t, Options{Open: f.open}, []string{"a/b/c/config.yaml"}, nil)
	base := kernelWatches(t)
	r.does(func() { r.mkdir("a/b/c"); r.write("a/b/c/config.yaml", "1") })
	r.watches(base + 3)
	f.set(func() { f.losing = true })
	r.rename("a", "z")
	r.mkdir("a/b/c")
	r.write("a/b/c/config.yaml", "2")
	f.stopLosing(r)
	f.errs <- fsnotify.ErrEventOverflow
	r.current()
	r.watches(base + 3)
}

// State reports the loss until the caller's next look.
func TestOverflowIsReported(t *testing.T) {
	f := &faultyNotifier{}
	r := prepare(t, nil, nil)
	o := r.options(Options{Open: f.open})
	var w *Watcher
	var reported atomic.Value
	o.Wake = func() {
		_, why := w.State()
		reported.Store(why)
		r.wake()
	}
	w = New(o)
	r.start(w)
	r.settle()
	f.errs <- fsnotify.ErrEventOverflow
	deadline := time.Now().Add(patience)
	for {
		if why, _ := reported.Load().(string); strings.Contains(why, "overflow") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("when woken, the state said %q", reported.Load())
		}
		time.Sleep(time.Millisecond)
	}
	r.state("")
}

func TestNoInotify(t *testing.T) {
	for _, c := range []struct {
		err   error
		words string
	}{
		{syscall.EMFILE, "raise fs.inotify.max_user_instances"},
		{syscall.ENFILE, "raise fs.file-max"},
		{syscall.EPERM, "seccomp"},
		{syscall.ENOSYS, "not permitted"},
		{errors.New("odd"), "odd"},
	} {
		t.Run(c.err.Error(), func(t *testing.T) {
			failing := true
			f := &faultyNotifier{}
			f.fail = func() error {
				if failing {
					return fmt.Errorf("couldn't initialize inotify: %w", c.err)
				}
				return nil
			}
			r := prepare(t, []string{"config.yaml"}, nil)
			w := New(r.options(Options{Open: f.open}))
			r.start(w)
			r.state(c.words)
			for opens := f.opens.Load(); f.opens.Load() < opens+3; time.Sleep(time.Millisecond) {
				w.Retry()
			}
			r.state(c.words)
			f.set(func() { failing = false })
			r.write("config.yaml", "0")
			w.Retry()
			r.current()
			r.state("")
			r.does(func() { r.write("config.yaml", "1") })
			if n := r.logged("level=WARN"); n != 1 {
				t.Errorf("one reason is logged %d times:\n%s", n, r.log.String())
			}
			if n := r.logged("level=INFO"); n != 1 {
				t.Errorf("its end is logged %d times:\n%s", n, r.log.String())
			}
		})
	}
}

func TestWatchesUsedUp(t *testing.T) {
	for _, c := range []struct {
		err   error
		words string
	}{
		{syscall.ENOSPC, "raise fs.inotify.max_user_watches"},
		{syscall.EACCES, "quay.io: permission denied"},
	} {
		t.Run(c.err.Error(), func(t *testing.T) {
			f := &faultyNotifier{refuse: func(dir string) error {
				if strings.HasSuffix(dir, "quay.io") || strings.HasSuffix(dir, "ghcr.io") {
					return c.err
				}
				return nil
			}}
			r := newReader(t, Options{Open: f.open}, []string{"config.yaml"}, []string{"certs.d"})
			r.state("")
			r.does(func() { r.mkdir("certs.d/docker.io") })
			r.does(func() { r.mkdir("certs.d/quay.io") })
			if c.err == syscall.ENOSPC {
				r.state(c.words)
				r.does(func() { r.mkdir("certs.d/ghcr.io") })
			}
			r.state(c.words)
			// Everything else is still watched.
			r.does(func() { r.write("config.yaml", "1") })
			r.does(func() { r.write("certs.d/docker.io/hosts.toml", "1") })
			r.settle()
			r.write("certs.d/quay.io/hosts.toml", "1")
			if r.missed(200*time.Millisecond) == "" {
				t.Fatal("the directory is watched: this test proves nothing")
			}
			r.w.(*Watcher).Retry() // refused again
			r.does(func() { r.write("config.yaml", "2") })
			f.set(func() { f.refuse = nil })
			r.write("certs.d/quay.io/hosts.toml", "2")
			r.w.(*Watcher).Retry()
			r.current()
			r.state("")
			r.does(func() { r.write("certs.d/quay.io/hosts.toml", "3") })
			if n := r.logged("level=WARN"); n != 1 {
				t.Errorf("one reason is logged %d times:\n%s", n, r.log.String())
			}
		})
	}
}

// A broken notifier is reported, and Retry opens a new one.
func TestNotifierBreaks(t *testing.T) {
	for name, breaks := range map[string]func(*faultyNotifier){
		"error":  func(f *faultyNotifier) { f.errs <- &os.PathError{Op: "read", Path: "inotify", Err: syscall.EIO} },
		"closed": func(f *faultyNotifier) { f.real.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			f := &faultyNotifier{}
			r := newReader(t, Options{Open: f.open}, []string{"config.yaml"}, nil)
			f.set(func() { f.losing = true })
			r.write("config.yaml", "0")
			breaks(f)
			r.current() // events may be lost, so the reader must look
			r.state("inotify failed")
			f.set(func() { f.losing = false })
			r.write("config.yaml", "1")
			r.w.(*Watcher).Retry()
			r.current()
			r.state("")
			r.does(func() { r.write("config.yaml", "2") })
		})
	}
}

// Retry finds a watch that ended without an event, as by umount.
func TestRetryFindsDeadWatches(t *testing.T) {
	f := &faultyNotifier{}
	r := newReader(t, Options{Open: f.open}, nil, []string{"certs.d"})
	r.does(func() { r.mkdir("certs.d/docker.io") })
	r.settle()
	r.must(f.real.Remove(r.path("certs.d/docker.io")))
	// A late wake for the fence may show a change once or twice, but not always.
	dead := false
	for i := 0; i < 10 && !dead; i++ {
		r.write("certs.d/docker.io/hosts.toml", fmt.Sprint(i))
		dead = r.missed(200*time.Millisecond) != ""
	}
	if !dead {
		t.Fatal("the watch is alive: this test proves nothing")
	}
	r.w.(*Watcher).Retry()
	r.current()
	r.does(func() { r.write("certs.d/docker.io/hosts.toml", "seen again") })
	// If nothing is wrong, Retry does not wake the reader.
	r.settle()
	before := r.wakes.Load()
	for range 10 {
		r.w.(*Watcher).Retry()
		r.settle()
	}
	if n := r.wakes.Load() - before; n > 20 {
		t.Errorf("%d wakes for 10 changes of the fence", n)
	}
}

func TestRelativePath(t *testing.T) {
	r := newReader(t, Options{}, nil, nil)
	r.mu.Lock()
	r.files = append(r.files, "config.yaml")
	r.mu.Unlock()
	r.set()
	r.state("config.yaml: not an absolute path")
	r.retarget(nil, nil)
	r.state("")
}

func TestRunsOnce(t *testing.T) {
	r := newReader(t, Options{}, nil, nil)
	if err := r.w.Run(t.Context()); err == nil {
		t.Error("a watcher runs twice")
	}
}
