package report

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/berth-registry/berth/images/copy"
)

const (
	repaintEvery = 200 * time.Millisecond // a terminal
	logEvery     = 30 * time.Second       // a log
)

// Progress shows how far a copy is: on a terminal in a line that changes, in a log by a line for
// each image, and one every half a minute.
type Progress struct {
	stdout, stderr io.Writer
	lines          bool // print what came of each image
	terminal       bool
	width          func() int

	mu      sync.Mutex
	painted bool
}

// NewProgress returns a view that writes lines of images to stdout, if lines is set, and the
// progress to stderr.
func NewProgress(stdout, stderr io.Writer, lines bool) *Progress {
	v := &Progress{stdout: stdout, stderr: stderr, lines: lines, width: func() int { return 80 }}
	if f, ok := stderr.(*os.File); ok && term.IsTerminal(int(f.Fd())) &&
		os.Getenv("TERM") != "dumb" {
		v.terminal = true
		v.width = func() int {
			width, _, err := term.GetSize(int(f.Fd()))
			if err != nil || width < 20 {
				return 80
			}
			return width
		}
	}
	return v
}

// Start shows p until stop is called, which waits for the last line.
func (v *Progress) Start(ctx context.Context, p *copy.Progress) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	every := logEvery
	if v.terminal {
		every = repaintEvery
	}
	go func() {
		defer close(ended)
		p.Watch(ctx, every, v.show)
	}()
	return func() {
		cancel()
		<-ended
		v.mu.Lock()
		defer v.mu.Unlock()
		v.clear()
	}
}

// show paints a line of the progress.
func (v *Progress) show(line string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.terminal {
		fmt.Fprintln(v.stderr, line)
		return
	}
	if width := v.width() - 1; len(line) > width {
		line = line[:width]
	}
	v.clear()
	fmt.Fprint(v.stderr, line)
	v.painted = true
}

// clear takes the painted line away. The lock is held.
func (v *Progress) clear() {
	if v.painted {
		fmt.Fprint(v.stderr, "\r\x1b[K")
		v.painted = false
	}
}

// Done writes a line for an image that is copied, present or failed.
func (v *Progress) Done(r copy.Copied) {
	if !v.lines {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.clear()
	fmt.Fprintln(v.stdout, copiedLine(r))
}
