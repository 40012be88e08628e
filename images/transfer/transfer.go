package transfer

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"
)

// Opener opens the content of a blob. It is verified while it is read.
type Opener func(context.Context) (io.ReadCloser, error)

const (
	// StallLimit is how long an answer that is small may take, and the window in which leastMoved
	// bytes of a blob have to move.
	StallLimit = 2 * time.Minute
	leastMoved = 16 << 10 // bytes; less is a drip that would take days
	// AnswerTimeout is how long a registry may think before it answers; the
	// slowest puts a layer of many gigabytes into its store meanwhile.
	AnswerTimeout = 5 * time.Minute
	// lastAnswer is how long the target may take after it has all of a blob.
	lastAnswer = AnswerTimeout + StallLimit
)

// UntilEnd makes a reader of r that ends with ctx.
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

// Do hands the content that open gives to send, and ends both when ctx ends or hardly
// anything moves any more. If reading fails, that is the error: it is the source
// that failed, and not the target.
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

// watched remembers why reading failed, and sees to it that enough is read. The http client may
// read on after it has returned.
type watched struct {
	ctx    context.Context // of the transfer
	inner  io.Reader
	cancel context.CancelCauseFunc
	watch  *time.Timer

	mu     sync.Mutex
	moved  int // bytes since look
	ended  bool
	failed error
}

// check ends the transfer if too little has moved.
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
	// A file does not hear of the end of ctx.
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

// Outcome is how a blob came to be where it is.
type Outcome int

const (
	AlreadyPresent Outcome = iota
	Mounted                // taken over from another repository of the registry
	Uploaded
)
