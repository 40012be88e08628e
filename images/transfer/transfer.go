// Package transfer moves a blob from a reader to a target, and ends when that stalls.
//
// Start reading at [Do].
package transfer

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"
)

// Opener opens the content of a blob, which is verified while it is read.
type Opener func(context.Context) (io.ReadCloser, error)

// Outcome says how a blob came to its place.
type Outcome int

// The values of Outcome.
const (
	AlreadyPresent Outcome = iota
	Mounted                // from another repository of the registry
	Uploaded
)

const (
	// StallLimit is the time limit of a small answer, and the interval in which at least leastMoved
	// bytes of a blob must move.
	StallLimit = 2 * time.Minute
	leastMoved = 16 << 10 // bytes; a slower transfer would take days
	// AnswerTimeout is the time limit for the first byte of an answer; the slowest registries store
	// a layer of many gigabytes meanwhile.
	AnswerTimeout = 5 * time.Minute
	// lastAnswer is the time limit for the answer of the target after the last byte of a blob.
	lastAnswer = AnswerTimeout + StallLimit
)

// UntilEnd returns a reader of r that fails when ctx ends.
func UntilEnd(ctx context.Context, r io.Reader) io.Reader { return endingReader{ctx, r} }

type endingReader struct {
	ctx context.Context
	io.Reader
}

// Read implements io.Reader.
func (u endingReader) Read(p []byte) (int, error) {
	if u.ctx.Err() != nil {
		return 0, context.Cause(u.ctx)
	}
	return u.Reader.Read(p)
}

// Do opens content and hands it to send. Both end when ctx ends or the transfer stalls. If reading
// failed, that is the error, because then the source failed and not the target.
func Do(ctx context.Context, open Opener, send func(context.Context, io.Reader) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	body, err := open(ctx)
	if err != nil {
		return err
	}
	defer body.Close()
	r := &watched{ctx: ctx, inner: body, cancel: cancel}
	r.mu.Lock()
	r.watch = time.AfterFunc(StallLimit, r.check)
	r.mu.Unlock()
	defer r.watch.Stop()
	err = send(ctx, r)
	if cause := r.err(); cause != nil && err != nil {
		return cause
	}
	return err
}

// watched keeps the error of reading, and ends a stalled transfer. The HTTP client may read on
// after it has returned.
type watched struct {
	ctx    context.Context // of the transfer
	inner  io.Reader
	cancel context.CancelCauseFunc
	watch  *time.Timer

	mu     sync.Mutex
	moved  int // bytes since the last check
	ended  bool
	failed error
}

// check ends the transfer if too few bytes have moved.
func (w *watched) check() {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.ended:
		w.cancel(&NetError{Host: "the transfer of a blob", Err: fmt.Errorf("no answer in %s after the last byte", lastAnswer)})
	case w.moved == 0:
		w.cancel(&NetError{Host: "the transfer of a blob", Err: fmt.Errorf("nothing moved for %s", StallLimit)})
	case w.moved < leastMoved:
		w.cancel(&NetError{Host: "the transfer of a blob", Err: fmt.Errorf("%d bytes moved in %s, which is less than %d", w.moved, StallLimit, leastMoved)})
	default:
		w.moved = 0
		w.watch.Reset(StallLimit)
	}
}

// Read implements io.Reader.
func (w *watched) Read(p []byte) (int, error) {
	// Reading a file does not notice the end of ctx.
	if w.ctx.Err() != nil {
		return 0, context.Cause(w.ctx)
	}
	n, err := w.inner.Read(p)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.moved += n
	switch {
	case err == io.EOF && !w.ended:
		w.ended = true
		w.watch.Reset(lastAnswer)
	case err != nil && err != io.EOF:
		w.failed = err
	}
	return n, err
}

func (w *watched) err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.failed
}

// NetError is a request without an answer. It names the host and not the address, whose query may
// be a secret.
type NetError struct {
	Host string
	Err  error
}

func (e *NetError) Error() string { return fmt.Sprintf("%s: %v", e.Host, e.Err) }

func (e *NetError) Unwrap() error { return e.Err }
