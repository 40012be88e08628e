package copy

import (
	"sync"

	"github.com/berth-registry/berth/images/transfer"
)

// tally counts what was done for one image.
type tally struct {
	mu                         sync.Mutex
	uploaded, mounted, present int
	bytes                      int64
	sent                       bool // anything at all
}

func (t *tally) blob(came transfer.Outcome, size int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch came {
	case transfer.Uploaded:
		t.uploaded++
		t.bytes += size
	case transfer.Mounted:
		t.mounted++
	default:
		t.present++
	}
	t.sent = t.sent || came != transfer.AlreadyPresent
}

func (t *tally) manifest() {
	t.mu.Lock()
	t.sent = true
	t.mu.Unlock()
}
