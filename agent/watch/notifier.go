package watch

import (
	"errors"
	"sync"
	"syscall"

	"github.com/fsnotify/fsnotify"
)

// A Notifier is a running instance of inotify, as fsnotify presents it.
type Notifier struct {
	Dirs Dirs // what it watches
	// Events tell of a name in a watched directory, or of the directory. An
	// error is [fsnotify.ErrEventOverflow] when events were lost; another one
	// ends the use of the notifier. Both are closed after Close.
	Events <-chan fsnotify.Event
	Errors <-chan error
	// Close ends everything and waits for it, while somebody receives.
	Close func() error
}

// Dirs are the directories that a [Notifier] watches.
type Dirs interface {
	// Add watches a directory. It is not called for one that is watched.
	Add(dir string) error
	// Remove ends that. It fails for a directory that is not watched any more
	// because it was removed, or moved, or its file system is gone.
	Remove(dir string) error
	// WatchList names what is watched, in any order.
	WatchList() []string
}

func openFsnotify() (*Notifier, error) {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, err
	}
	return &Notifier{Dirs: w, Events: w.Events, Errors: w.Errors, Close: w.Close}, nil
}

// queue takes everything that a notifier sends, at once, always. fsnotify's
// reader sends errors with its lock held (an IN_MOVE_SELF of a directory that
// is gone by then), so that an Add by the goroutine that should receive them
// would wait for ever. It also keeps the kernel's queue short.
type queue struct {
	ready chan struct{} // one place: there is something to take
	mu    sync.Mutex
	in    inbox
	spare []fsnotify.Event // the slice that take gave out last
}

type inbox struct {
	events []fsnotify.Event
	lost   bool  // some are missing
	broken error // nothing will come any more
}

// maxQueued bounds the memory of a queue whose taker is slow. It is four times
// what the kernel keeps by default.
const maxQueued = 1 << 16

var errClosed = errors.New("the notifier closed by itself")

// pump runs until the notifier is closed.
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
				// A directory was moved and then removed before fsnotify could
				// take its watch off. The event of the move comes all the same.
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
	q.in = inbox{events: q.spare[:0]}
	if q.spare = got.events; cap(q.spare) > 4096 {
		q.spare = nil // a burst is over
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

// rebuild forgets everything that is watched, so that the next set watches it
// anew: after a loss of events nobody knows which of the directories are still
// those that the paths lead to. The notifier is kept, because a new one could
// be refused.
func (s *session) rebuild(o Options) {
	for _, dir := range s.notifier.Dirs.WatchList() {
		s.notifier.Dirs.Remove(dir)
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
	s.notifier.Close()
	<-s.pumped
}
