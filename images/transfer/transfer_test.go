package transfer

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/berth-registry/berth/images/internal/imagestest"
)

// A stalled transfer ends, whether the source or the target is slow; a slow one that moves goes on.
func TestTransferTimesOut(t *testing.T) {
	send := func(_ context.Context, body io.Reader) error {
		_, err := io.Copy(io.Discard, body)
		return err
	}
	for _, c := range []struct {
		name  string
		body  imagestest.ReadFunc
		send  func(context.Context, io.Reader) error
		after time.Duration // at most; 0: it goes on
		want  string
	}{
		{"drip", imagestest.Drip(1, 200*time.Millisecond), send, StallLimit, "bytes moved in 2m0s, which is less than 16384"},
		{"nothing", imagestest.Drip(1, time.Hour), send, time.Hour, "nothing moved for 2m0s"},
		{"a drip after the beginning", func() imagestest.ReadFunc {
			n := 0
			return func(p []byte) (int, error) {
				if n++; n < 10 {
					return len(p), nil
				}
				return imagestest.Drip(1, 200*time.Millisecond)(p)
			}
		}(), send, 2 * StallLimit, "bytes moved in 2m0s"},
		{"a target that takes nothing", imagestest.Drip(1, 0), func(ctx context.Context, body io.Reader) error {
			if _, err := body.Read(make([]byte, 10)); err != nil {
				return err
			}
			<-ctx.Done()
			return context.Cause(ctx)
		}, StallLimit, "1 bytes moved"},
		{"a target that does not answer", func([]byte) (int, error) { return 0, io.EOF }, func(ctx context.Context, body io.Reader) error {
			_, _ = io.Copy(io.Discard, body)
			<-ctx.Done()
			return context.Cause(ctx)
		}, lastAnswer, "no answer in 7m0s after the last byte"},
		{"slow", imagestest.Drip(200, time.Second), send, 0, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 24*time.Hour)
				defer cancel()
				begin := time.Now()
				err := Do(ctx, c.body.Open, c.send)
				took := time.Since(begin)
				if c.after == 0 {
					if !errors.Is(err, context.DeadlineExceeded) || took < 24*time.Hour {
						t.Errorf("after %s: %v, want that it goes on", took, err)
					}
					return
				}
				if err == nil || !strings.Contains(err.Error(), c.want) || took > c.after+time.Second {
					t.Errorf("after %s: %v, want %q in %s", took, err, c.want, c.after)
				}
				if _, ok := errors.AsType[*NetError](err); !ok {
					t.Errorf("%v is no error of the network, and would not be tried again", err)
				}
			})
		})
	}
}
