package cli

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
)

// Reads through Interruptible lose and reorder nothing.
func TestInterruptibleReads(t *testing.T) {
	text := strings.Repeat("all of it\n", 10_000)
	got, err := io.ReadAll(Interruptible(t.Context(), strings.NewReader(text)))
	if err != nil || string(got) != text {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Interruptible(ctx, strings.NewReader(text)).Read(make([]byte, 1)); !errors.Is(err, context.Canceled) {
		t.Errorf("read after the end: %v", err)
	}
}
