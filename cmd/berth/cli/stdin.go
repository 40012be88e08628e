package cli

import (
	"context"
	"io"
)

// Interruptible is in, but a read ends when ctx is done. The pending read of in itself cannot be
// cancelled: its data is lost, and it ends with its input or with the process.
func Interruptible(ctx context.Context, in io.Reader) io.Reader {
	return readFunc(func(p []byte) (int, error) {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		type result struct {
			n   int
			err error
		}
		own := make([]byte, len(p)) // the caller may reuse p after the return
		done := make(chan result, 1)
		go func() {
			n, err := in.Read(own)
			done <- result{n, err}
		}()
		select {
		case r := <-done:
			return copy(p, own[:r.n]), r.err
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	})
}

type readFunc func(p []byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }
