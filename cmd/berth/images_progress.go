package main

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

// progressView tells how far a copy is: on a terminal in a line that changes,
// in a log by a line for each image, and one every half a minute.
type progressView struct {
	stdout, stderr io.Writer
	lines          bool // print what came of each image
	terminal       bool
	width          func() int
	begin          time.Time

	mu      sync.Mutex
	painted bool
}

func newProgressView(stdout, stderr io.Writer, lines bool) *progressView {
	v := &progressView{stdout: stdout, stderr: stderr, lines: lines, begin: time.Now(), width: func() int { return 80 }}
	if f, ok := stderr.(*os.File); ok && term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb" {
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

// start shows p until stop is called, which waits for the last line.
func (v *progressView) start(ctx context.Context, p *copy.Progress) (stop func()) {
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
func (v *progressView) show(line string) {
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
func (v *progressView) clear() {
	if v.painted {
		fmt.Fprint(v.stderr, "\r\x1b[K")
		v.painted = false
	}
}

// done tells what came of an image.
func (v *progressView) done(r copy.Copied) {
	if !v.lines {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.clear()
	fmt.Fprintln(v.stdout, copiedLine(r))
}
