package registry

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/berth-registry/berth/images/internal/imagestest"
	"github.com/berth-registry/berth/images/transfer"
)

// A small answer, such as a config, has a time limit for the whole of it.
func TestSmallAnswersTimeOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := NewClient(Access{}, 1, 0, nil)
		r := &Repository{registry: &Registry{client: w, name: "registry.corp"}, path: "app"}
		begin := time.Now()
		err := r.Retry(t.Context(), "config", func(ctx context.Context) error {
			_, err := io.Copy(&bytes.Buffer{}, transfer.UntilEnd(ctx, imagestest.Drip(1, 200*time.Millisecond)))
			return err
		})
		if took := time.Since(begin); err == nil || took > Attempts*(transfer.StallLimit+2*pauseMax) || !strings.Contains(err.Error(), "no answer in 2m0s") {
			t.Errorf("after %s: %v", took, err)
		}
	})
}
