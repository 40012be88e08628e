package watch

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// patience is how long a test waits for an expected event. Only a failing test waits that long.
const patience = 30 * time.Second

// watcher is a [Watcher], or one that is known to be bad.
type watcher interface {
	Set(files, trees []string)
	Run(context.Context) error
}

// reader is a level-triggered loop like the agent's: it looks at everything whenever it is woken,
// and only then. So its last look is current if, and only if, there was a wake after the last
// change.
type reader struct {
	t     testing.TB
	dir   string // of the test's files, a real path
	w     watcher
	woken chan struct{}
	wakes atomic.Int64
	marks int // how often the fence was changed

	mu           sync.Mutex
	files, trees []string
	seen         string
	look         chan struct{} // closed and replaced after each look
	log          bytes.Buffer
}

// newReader starts a reader of files and trees, named relative to its directory.
func newReader(t testing.TB, o Options, files, trees []string) *reader {
	t.Helper()
	r := prepare(t, files, trees)
	r.start(New(r.options(o)))
	r.settle()
	return r
}

// prepare makes a reader without starting it.
func prepare(t testing.TB, files, trees []string) *reader {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	r := &reader{t: t, dir: dir, woken: make(chan struct{}, 1), look: make(chan struct{})}
	r.mkdir("fence")
	r.retarget(files, trees)
	return r
}

// retarget replaces the files and trees that the reader reads, besides the fence.
func (r *reader) retarget(files, trees []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.files, r.trees = []string{r.path("fence/fence")}, nil
	for _, f := range files {
		r.files = append(r.files, r.path(f))
	}
	for _, d := range trees {
		r.trees = append(r.trees, r.path(d))
	}
	if r.w != nil {
		r.w.Set(r.files, r.trees)
	}
}

// set tells the watcher what the reader reads.
func (r *reader) set() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.w.Set(r.files, r.trees)
}

// snapshot is the text of everything that the reader reads.
func (r *reader) snapshot() string {
	r.mu.Lock()
	files, trees := r.files, r.trees
	r.mu.Unlock()
	return snapshot(files, trees)
}

// options completes o.
func (r *reader) options(o Options) Options {
	o.Wake = r.wake
	o.Log = slog.New(slog.NewTextHandler(writer(func(p []byte) {
		r.mu.Lock()
		r.log.Write(p)
		r.mu.Unlock()
	}), &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
	return o
}

type writer func([]byte)

func (w writer) Write(p []byte) (int, error) { w(p); return len(p), nil }

func (r *reader) wake() {
	r.wakes.Add(1)
	select {
	case r.woken <- struct{}{}:
	default:
	}
}

// start runs the reader's loop and w until the test ends.
func (r *reader) start(w watcher) {
	r.t.Helper()
	r.w = w
	r.set()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := w.Run(ctx); err != nil {
			r.t.Errorf("Run: %v", err)
		}
	})
	wg.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-r.woken:
			}
			now := r.snapshot()
			r.set()
			r.mu.Lock()
			r.seen = now
			close(r.look)
			r.look = make(chan struct{})
			r.mu.Unlock()
		}
	})
	r.t.Cleanup(func() {
		cancel()
		wg.Wait()
	})
}

// settle waits until everything up to now is handled: a notifier keeps the order of events, so a
// reader that has seen a change of the fence was woken for all changes before it.
func (r *reader) settle() {
	r.t.Helper()
	r.marks++
	mark := fmt.Sprintf("mark %d.", r.marks)
	r.write("fence/new", mark)
	r.rename("fence/new", "fence/fence")
	r.until(patience, "the fence to be seen", func(seen string) bool { return strings.Contains(seen, mark) })
}

// current waits until the reader has seen the current state.
func (r *reader) current() {
	r.t.Helper()
	if missed := r.missed(patience); missed != "" {
		r.t.Fatal(missed)
	}
}

// missed describes what the reader has not seen within patience; "" if it is current.
func (r *reader) missed(patience time.Duration) string {
	now := r.snapshot()
	if seen, ok := r.wait(patience, func(seen string) bool { return seen == now }); !ok {
		return fmt.Sprintf("no wake after the last change. There is\n%s\nand last seen was\n%s", now, seen)
	}
	return ""
}

func (r *reader) until(patience time.Duration, what string, ok func(seen string) bool) {
	r.t.Helper()
	if seen, ok := r.wait(patience, ok); !ok {
		r.t.Fatalf("waited in vain for %s; seen was\n%s", what, seen)
	}
}

func (r *reader) wait(patience time.Duration, ok func(seen string) bool) (string, bool) {
	timeout := time.After(patience)
	for {
		r.mu.Lock()
		seen, looked := r.seen, r.look
		r.mu.Unlock()
		if ok(seen) {
			return seen, true
		}
		select {
		case <-looked:
		case <-timeout:
			return seen, false
		}
	}
}

// does makes a change and waits until the reader has seen it. It settles first, so that no wake for
// an earlier change counts.
func (r *reader) does(change func()) {
	r.t.Helper()
	r.settle()
	change()
	r.current()
}

func snapshot(files, trees []string) string {
	var b strings.Builder
	for _, f := range files {
		content, err := os.ReadFile(f)
		info, _ := os.Stat(f)
		fmt.Fprintf(&b, "%s: %s\n", f, describe(info, content, err))
	}
	for _, d := range trees {
		for _, top := range list(d) {
			p := filepath.Join(d, top)
			info, _ := os.Lstat(p)
			fmt.Fprintf(&b, "%s: %s\n", p, describe(info, nil, nil))
			if info == nil || !info.IsDir() {
				continue
			}
			for _, name := range list(p) {
				p := filepath.Join(p, name)
				info, err := os.Lstat(p)
				var content []byte
				if err == nil && info.Mode().IsRegular() {
					content, err = os.ReadFile(p)
				}
				fmt.Fprintf(&b, "%s: %s\n", p, describe(info, content, err))
			}
		}
	}
	return b.String()
}

func describe(info os.FileInfo, content []byte, err error) string {
	switch {
	case info == nil:
		return "nothing"
	case err != nil:
		return fmt.Sprintf("%v, unreadable", info.Mode())
	}
	return fmt.Sprintf("%v %q", info.Mode(), content)
}

func list(dir string) []string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names
}

func (r *reader) path(p string) string { return filepath.Join(r.dir, p) }

func (r *reader) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *reader) write(p, content string) {
	r.t.Helper()
	r.must(os.WriteFile(r.path(p), []byte(content), 0o644))
}

func (r *reader) rename(from, to string) {
	r.t.Helper()
	r.must(os.Rename(r.path(from), r.path(to)))
}

func (r *reader) mkdir(p string) {
	r.t.Helper()
	r.must(os.MkdirAll(r.path(p), 0o755))
}

func (r *reader) remove(p string) {
	r.t.Helper()
	r.must(os.RemoveAll(r.path(p)))
}

func (r *reader) symlink(to, p string) {
	r.t.Helper()
	r.must(os.Symlink(to, r.path(p)))
}
