package copy

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"time"
)

// Progress counts the progress of a [Copier]. Its methods are safe for concurrent use; with a nil
// Progress they do nothing.
type Progress struct {
	images, resolved, done, failed atomic.Int64
	total, moved                   atomic.Int64 // bytes
	copying                        atomic.Bool
}

// Reached is the progress at one moment.
type Reached struct {
	Images   int64 // in total
	Resolved int64 // whose content is known
	Done     int64 // copied, found or failed
	Failed   int64
	// Bytes of Total are at the target: uploaded, or found there. Total is known once all images
	// are resolved.
	Bytes, Total int64
	Copying      bool
}

// Reached returns the progress.
func (p *Progress) Reached() Reached {
	if p == nil {
		return Reached{}
	}
	return Reached{
		Images: p.images.Load(), Resolved: p.resolved.Load(), Done: p.done.Load(), Failed: p.failed.Load(),
		Bytes: p.moved.Load(), Total: p.total.Load(), Copying: p.copying.Load(),
	}
}

func (p *Progress) begin(images int) {
	if p != nil {
		p.images.Store(int64(images))
	}
}

func (p *Progress) resolvedOne() {
	if p != nil {
		p.resolved.Add(1)
	}
}

func (p *Progress) expect(bytes int64) {
	if p != nil {
		p.total.Store(bytes)
		p.copying.Store(true)
	}
}

func (p *Progress) add(bytes int64) {
	if p != nil {
		p.moved.Add(bytes)
	}
}

func (p *Progress) ended(s Status) {
	if p == nil {
		return
	}
	p.done.Add(1)
	if s == StatusFailed {
		p.failed.Add(1)
	}
}

// counted counts the bytes of content while they are read.
type counted struct {
	io.ReadCloser
	progress *Progress
	n        atomic.Int64
}

func (p *Progress) count(body io.ReadCloser) *counted {
	return &counted{ReadCloser: body, progress: p}
}

// Read implements io.Reader.
func (c *counted) Read(b []byte) (int, error) {
	n, err := c.ReadCloser.Read(b)
	c.n.Add(int64(n))
	c.progress.add(int64(n))
	return n, err
}

// undo subtracts the bytes that were read: the upload failed.
func (c *counted) undo() {
	if c != nil {
		c.progress.add(-c.n.Swap(0))
	}
}

// Line is the progress in one line; since is the time since copying began.
func (r Reached) Line(since time.Duration) string {
	if !r.Copying {
		return fmt.Sprintf("looking at images: %d of %d", r.Resolved, r.Images)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "images: %d of %d", r.Done, r.Images)
	if r.Failed > 0 {
		fmt.Fprintf(&b, ", %d failed", r.Failed)
	}
	fmt.Fprintf(&b, "; %s of %s", Size(r.Bytes), Size(r.Total))
	if seconds := since.Seconds(); seconds >= 1 && r.Bytes > 0 {
		perSecond := float64(r.Bytes) / seconds
		fmt.Fprintf(&b, ", %s/s", Size(int64(perSecond)))
		if left := r.Total - r.Bytes; left > 0 {
			fmt.Fprintf(&b, ", %s left", time.Duration(float64(left)/perSecond*float64(time.Second)).Round(time.Second))
		}
	}
	return b.String()
}

// Watch calls show with the current line every interval until ctx ends.
func (p *Progress) Watch(ctx context.Context, interval time.Duration, show func(line string)) {
	begin, copying := time.Now(), false
	t := time.NewTicker(interval)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			at := p.Reached()
			if at.Copying && !copying {
				begin, copying = time.Now(), true
			}
			show(at.Line(time.Since(begin)))
		case <-ctx.Done():
			return
		}
	}
}
