// Package daemonlog is the log of a long-running verb: text for a person at a terminal, JSON for
// everything else, with the priorities that the journal of systemd reads. Start reading at [New].
package daemonlog

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/term"
)

// New returns a logger that writes text to a terminal, else JSON; to the journal of systemd with
// the priority before each line. Durations have a unit.
func New(w io.Writer) *slog.Logger {
	f, isFile := w.(*os.File)
	if isFile && term.IsTerminal(int(f.Fd())) {
		return slog.New(slog.NewTextHandler(w, nil))
	}
	o := &slog.HandlerOptions{ReplaceAttr: withUnit}
	if isFile && isJournal(f, os.Getenv("JOURNAL_STREAM")) {
		return slog.New(newJournalHandler(w, o))
	}
	return slog.New(slog.NewJSONHandler(w, o))
}

// withUnit writes a duration as "12ms": JSON would have a number of nanoseconds.
func withUnit(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		a.Value = slog.StringValue(a.Value.Duration().Round(time.Microsecond).String())
	}
	return a
}

// isJournal reports whether a file is the stream that JOURNAL_STREAM names by device and inode
// (systemd.exec(5)). A child process inherits the variable, but may have another stream.
func isJournal(f *os.File, stream string) bool {
	info, err := f.Stat()
	if err != nil {
		return false
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && stream == fmt.Sprintf("%d:%d", st.Dev, st.Ino)
}

// journalHandler writes the priority of sd-daemon(3) before each record.
type journalHandler struct {
	slog.Handler // writes to line
	to           *journalStream
}

// journalStream is shared by all handlers that are derived from one.
type journalStream struct {
	mu   sync.Mutex
	w    io.Writer
	line bytes.Buffer
}

func newJournalHandler(w io.Writer, o *slog.HandlerOptions) *journalHandler {
	to := &journalStream{w: w}
	return &journalHandler{slog.NewJSONHandler(&to.line, o), to}
}

// Handle implements [slog.Handler].
func (h *journalHandler) Handle(ctx context.Context, r slog.Record) error {
	h.to.mu.Lock()
	defer h.to.mu.Unlock()
	h.to.line.Reset()
	fmt.Fprintf(&h.to.line, "<%d>", priority(r.Level))
	if err := h.Handler.Handle(ctx, r); err != nil {
		return err
	}
	_, err := h.to.w.Write(h.to.line.Bytes())
	return err
}

// WithAttrs implements [slog.Handler].
func (h *journalHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &journalHandler{h.Handler.WithAttrs(attrs), h.to}
}

// WithGroup implements [slog.Handler].
func (h *journalHandler) WithGroup(name string) slog.Handler {
	return &journalHandler{h.Handler.WithGroup(name), h.to}
}

// priority is the level in syslog(3).
func priority(l slog.Level) int {
	switch {
	case l >= slog.LevelError:
		return 3
	case l >= slog.LevelWarn:
		return 4
	case l >= slog.LevelInfo:
		return 6
	}
	return 7
}
