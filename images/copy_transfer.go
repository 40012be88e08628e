package images

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"
)

// opener opens the content of a blob. It is verified while it is read.
type opener func(context.Context) (io.ReadCloser, error)

// stallLimit is how long content may stand still, and how long an answer that
// is small may take.
const stallLimit = 2 * time.Minute

// transfer hands the content that open gives to send, and ends both when
// nothing moves any more. If reading fails, that is the error: it is the source
// that failed, and not the target.
func transfer(ctx context.Context, open opener, send func(context.Context, io.Reader) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	body, err := open(ctx)
	if err != nil {
		return err
	}
	defer body.Close()
	stalled := &netError{host: "the transfer of a blob", err: fmt.Errorf("nothing moved for %s", stallLimit)}
	watch := time.AfterFunc(stallLimit, func() { cancel(stalled) })
	defer watch.Stop()
	r := &watched{inner: body, watch: watch}
	err = send(ctx, r)
	if cause := r.err(); cause != nil && err != nil {
		return cause
	}
	return err
}

// watched remembers why reading failed. The http client may read on after it
// has returned.
type watched struct {
	inner io.Reader
	watch *time.Timer

	mu     sync.Mutex
	failed error
}

func (w *watched) Read(p []byte) (int, error) {
	w.watch.Reset(stallLimit)
	n, err := w.inner.Read(p)
	switch {
	case err == io.EOF:
		w.watch.Stop() // what is left has a limit of its own
	case err != nil:
		w.mu.Lock()
		w.failed = err
		w.mu.Unlock()
	}
	return n, err
}

func (w *watched) err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.failed
}
