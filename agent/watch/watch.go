package watch

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
)

// Options of a [Watcher].
type Options struct {
	// Log gets a line when something cannot be watched and when that ends: one per change of the
	// reason.
	Log *slog.Logger

	// Wake is called from the goroutine of [Watcher.Run] when something may have changed. It is
	// required and must not block. Calls come in bursts.
	Wake func()

	// Root is the root of trees: symlinks on the way to a tree below it are resolved as in a chroot
	// at Root. "" is "/". Files are not affected.
	Root string

	// Ignore reports which names in a tree or in its subdirectories do not matter, such as
	// temporary files of the caller. Without it a caller whose writes fail would be woken by its
	// own attempts. Nil ignores nothing.
	Ignore func(name string) bool

	// Open starts a notifier. Nil is fsnotify.
	Open func() (*Notifier, error)
}

// A Watcher watches files and trees. Any goroutine may call its methods, before and while
// [Watcher.Run] runs.
type Watcher struct {
	o    Options
	wake chan struct{} // one place: request has changed

	mu      sync.Mutex
	running bool
	request request
	lost    bool   // events were lost since the last Set
	why     string // why not everything is watched; "" if it is
}

// request is what the caller asked for.
type request struct {
	files, trees []string
	changed      bool
	retry        bool
}

const notRunning = "the watcher is not running"

// New makes a watcher that watches nothing yet.
func New(o Options) *Watcher {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Open == nil {
		o.Open = openFsnotify
	}
	if o.Root == "" {
		o.Root = "/"
	}
	return &Watcher{o: o, wake: make(chan struct{}, 1), why: notRunning}
}

// Set replaces the files and trees to watch, named by absolute paths of this process's file system;
// they need not exist. A file is one name and everything that it leads through. A tree is a
// directory with its direct subdirectories and all names in them; a subdirectory that is a symlink
// counts as a name and is not followed.
//
// Set returns at once. New targets are watched a moment later, and then Wake is called, because a
// change between the caller's last look and that moment made no event. Without new targets Wake is
// not called: a loop that calls Set in every run comes to rest.
//
// Set with equal lists, in the same order, costs one comparison.
func (w *Watcher) Set(files, trees []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lost = false // the caller has looked at everything since
	if slices.Equal(w.request.files, files) && slices.Equal(w.request.trees, trees) {
		return
	}
	w.request.files = slices.Clone(files)
	w.request.trees = slices.Clone(trees)
	w.request.changed = true
	w.wakeUp()
}

// Retry tries again to watch what was refused, and checks that watched directories are still those
// that the paths lead to. It returns at once; Wake is called if it finds a difference. It costs one
// or two system calls per directory: once per resync is enough.
func (w *Watcher) Retry() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.request.retry = true
	w.wakeUp()
}

// State reports whether everything is watched and, if not, why not and how to fix it.
func (w *Watcher) State() (ok bool, why string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.why != "":
		return false, w.why
	case w.lost:
		return false, "events were lost (queue overflow)"
	}
	return true, ""
}

func (w *Watcher) wakeUp() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// Run watches until ctx ends, and then returns nil. No error of inotify ends it. A second call is
// an error.
func (w *Watcher) Run(ctx context.Context) error {
	w.mu.Lock()
	if w.running {
		w.mu.Unlock()
		return errors.New("watch: the watcher can run only once")
	}
	w.running = true
	w.request.retry = true // to open the first notifier
	w.wakeUp()
	w.mu.Unlock()

	var s *session // nil while there is no notifier
	defer func() {
		s.close()
		w.mu.Lock()
		w.why = notRunning
		w.mu.Unlock()
	}()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-w.wake:
		case <-s.ready():
		}
		var wake bool
		s, wake = w.runOnce(s)
		if wake {
			w.o.Wake()
		}
	}
}

// runOnce handles the request and the events. It returns the session to continue with, and whether
// the caller must look.
//
// Wake is called after the watches are added: later changes make an event, and the caller's look
// finds earlier ones.
func (w *Watcher) runOnce(s *session) (_ *session, wake bool) {
	w.mu.Lock()
	asked := w.request
	w.request.changed, w.request.retry = false, false
	w.mu.Unlock()

	if s == nil {
		if !asked.retry {
			return nil, false
		}
		n, err := w.o.Open()
		if err != nil {
			w.report(cannotOpen(err), false)
			return nil, false
		}
		s = newSession(n, w.o)
		asked.changed, asked.retry = true, false
	}
	got := s.queue.take()
	switch {
	case got.broken != nil:
		// Do not open a new one at once: the same cause may break it again, in an endless loop.
		s.close()
		w.report(brokenNotifier(got.broken), false)
		return nil, true
	case got.lost:
		wake = true
		s.rebuild(w.o)
		asked.changed, asked.retry = true, false
	default:
		wake = s.graph.handle(got.events)
	}
	if asked.changed {
		s.graph.set(asked.files, asked.trees)
	}
	if asked.retry {
		s.graph.audit()
	}
	w.report(s.graph.problem(), got.lost)
	return s, s.graph.takeFresh() || wake
}

// report stores the state for [Watcher.State], and logs a change of the reason.
func (w *Watcher) report(p problem, lost bool) {
	w.mu.Lock()
	before := w.why
	w.why = p.why
	w.lost = w.lost || lost
	w.mu.Unlock()
	switch {
	case lost:
		w.o.Log.Warn("file events were lost; checking all files again")
	case p.why == before:
	case p.why != "":
		w.o.Log.Warn("some files are not watched; their changes are found at the next resync",
			"reason", p.why, "directories", p.count)
	case before != notRunning:
		w.o.Log.Info("all files are watched")
	}
}
