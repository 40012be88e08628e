package watch

import (
	"errors"
	"sync"
	"syscall"

	"github.com/fsnotify/fsnotify"
)

// A Notifier is an inotify instance, with the interface of fsnotify.
type Notifier struct {
	Dirs Dirs // what it watches
	// Events have the name of an entry of a watched directory, or of the directory. An error is
	// [fsnotify.ErrEventOverflow] if events were lost; any other error means that the notifier is
	// broken. Both channels are closed after Close.
	Events <-chan fsnotify.Event
	Errors <-chan error
	// Close closes everything and waits for it. Another goroutine must receive meanwhile.
	Close func() error
}

// Dirs are the directories that a [Notifier] watches.
type Dirs interface {
	// Add watches a directory. It is not called for one that is watched.
	Add(dir string) error
	// Remove ends a watch. It fails for a directory that is no longer watched because it was
	// removed or moved, or its file system is gone.
	Remove(dir string) error
	// WatchList lists the watched directories, in any order.
	WatchList() []string
}

func openFsnotify() (*Notifier, error) {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, err
	}
	return &Notifier{Dirs: w, Events: w.Events, Errors: w.Errors, Close: w.Close}, nil
}

// queue always receives at once what a notifier sends. fsnotify's reader sends errors with its lock
// held (an IN_MOVE_SELF of a directory that no longer exists), so a goroutine that both calls Add
// and receives would deadlock. The queue also keeps the kernel's queue short.
type queue struct {
	ready chan struct{} // one place: the queue is not empty
	mu    sync.Mutex
	in    inbox
	reuse []fsnotify.Event // the slice that the last take returned
}

type inbox struct {
	events []fsnotify.Event
	lost   bool  // events are missing
	broken error // nothing more will come
}

// maxQueued bounds the memory of a queue that is read slowly. It is four times the kernel's
// default.
const maxQueued = 1 << 16

var errClosed = errors.New("the notifier closed unexpectedly")

// pump receives until the notifier is closed.
func (q *queue) pump(n *Notifier) {
	events, errs := n.Events, n.Errors
	for events != nil || errs != nil {
		select {
		case e, ok := <-events:
			if !ok {
				events = nil
				q.put(func(in *inbox) { in.broken = errClosed })
				continue
			}
			q.event(e)
		case err, ok := <-errs:
			switch {
			case !ok:
				errs = nil
			case errors.Is(err, fsnotify.ErrEventOverflow):
				q.put(func(in *inbox) { in.lost = true })
			case err == error(syscall.EINVAL):
				// A directory was moved and removed before fsnotify could remove its watch. The
				// event of the move still comes.
			default:
				q.put(func(in *inbox) { in.broken = err })
			}
		}
	}
}

func (q *queue) event(e fsnotify.Event) {
	q.put(func(in *inbox) {
		if n := len(in.events); n > 0 && in.events[n-1].Name == e.Name && in.events[n-1].Op == e.Op {
			return // a file written in many pieces
		}
		if len(in.events) == maxQueued {
			in.lost = true
			in.events = in.events[:0]
		}
		in.events = append(in.events, e)
	})
}

func (q *queue) put(f func(*inbox)) {
	q.mu.Lock()
	f(&q.in)
	q.mu.Unlock()
	select {
	case q.ready <- struct{}{}:
	default:
	}
}

// take empties the queue. The events are valid until the next call.
func (q *queue) take() inbox {
	q.mu.Lock()
	defer q.mu.Unlock()
	got := q.in
	q.in = inbox{events: q.reuse[:0]}
	if q.reuse = got.events; cap(q.reuse) > 4096 {
		q.reuse = nil // too large after a burst
	}
	return got
}

// session is the use of one notifier.
type session struct {
	notifier *Notifier
	queue    *queue
	pumped   chan struct{} // closed when the pump has ended
	graph    *graph
}

func newSession(n *Notifier, o Options) *session {
	s := &session{
		notifier: n,
		queue:    &queue{ready: make(chan struct{}, 1)},
		pumped:   make(chan struct{}),
		graph:    newGraph(n, o),
	}
	go func() {
		defer close(s.pumped)
		s.queue.pump(n)
	}()
	return s
}

// rebuild drops all watches, so that the next set starts again: after lost events, any watched
// directory may no longer be the one that its path leads to. It keeps the notifier, because the
// kernel might refuse a new one.
func (s *session) rebuild(o Options) {
	for _, dir := range s.notifier.Dirs.WatchList() {
		_ = s.notifier.Dirs.Remove(dir)
	}
	s.graph = newGraph(s.notifier, o)
}

func (s *session) ready() <-chan struct{} {
	if s == nil {
		return nil
	}
	return s.queue.ready
}

func (s *session) close() {
	if s == nil {
		return
	}
	_ = s.notifier.Close()
	<-s.pumped
}
