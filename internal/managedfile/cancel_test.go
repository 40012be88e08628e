package managedfile

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/berth-registry/berth/internal/nodefs"
)

// Cancelling a large write takes effect soon and leaves no partial file.
func TestCancelledWriteEndsSoon(t *testing.T) {
	const files, atStep = 300, 40
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	steps := 0
	w := openWorld(t, fastDir(t), WithSteps(func(nodefs.Step) error {
		if steps++; steps == atStep {
			cancel()
		}
		return nil
	}))
	t.Cleanup(w.close)
	var wanted []File
	for i := range files {
		wanted = append(wanted, File{Path: fmt.Sprintf("%s/r%03d.corp/hosts.toml", certs, i), Body: []byte("x = 1\n"), Mode: 0o644, Comment: "#"})
	}
	_, err := w.store.Apply(ctx, w.scope, w.plan(wanted...))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if after := steps - atStep; after > 4*batchSize {
		t.Errorf("%d steps after the end was asked for", after)
	}
	if left := w.temps(); len(left) > 0 {
		t.Errorf("left over: %q", left)
	}
	w.apply(wanted...)
	if got := len(w.tree(certs)); got < 2*files {
		t.Errorf("%d paths after the next apply", got)
	}
}
