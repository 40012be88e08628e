package agent

import (
	"context"
	"fmt"
	"os"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/berth-registry/berth/agent/status"
	nodepkg "github.com/berth-registry/berth/node"
	"github.com/berth-registry/berth/node/reconcile"
)

// containerdEvery is how often the node's containerd is looked at when no file
// of its configuration changes: it may have been restarted.
const containerdEvery = time.Minute

// containerdView is what is known of the node's containerd: whether it reads
// what the agent writes. It changes nothing there.
type containerdView struct {
	host nodepkg.Host
	wake chan struct{} // capacity 1

	mu      sync.Mutex
	dir     string // where the agent writes; "" before the first config
	files   []string
	seen    string // the stamp of dir and files at the last look
	found   *status.Containerd
	version map[string]string // by the stamp of a program
}

// newContainerdView looks at the node below the machine's root. The processes
// and the version are seen on this machine only.
func newContainerdView(m *reconcile.Node) *containerdView {
	v := &containerdView{host: nodepkg.Host{Root: m.Root}, wake: make(chan struct{}, 1), version: map[string]string{}}
	if m.Root.Path("/") == "/" {
		v.host = nodepkg.This(m.Root)
		v.host.Version = v.askVersion
	}
	return v
}

// askVersion asks each program once.
func (v *containerdView) askVersion(ctx context.Context, binary string) (string, error) {
	key := binary
	if info, err := os.Stat(binary); err == nil {
		key = fmt.Sprintf("%s %d %s", binary, info.Size(), info.ModTime())
	}
	if text, ok := v.version[key]; ok {
		return text, nil
	}
	text, err := nodepkg.AskVersion(ctx, binary)
	if err == nil {
		clear(v.version)
		v.version[key] = text
	}
	return text, err
}

// set says where the agent writes. A change of that, or of a file that was
// seen, is looked at soon.
func (v *containerdView) set(dir string) {
	v.mu.Lock()
	v.dir = dir
	changed := v.stamp() != v.seen
	v.mu.Unlock()
	if changed {
		select {
		case v.wake <- struct{}{}:
		default:
		}
	}
}

// stamp tells one state of the files from another. The caller holds the lock.
func (v *containerdView) stamp() string {
	var b strings.Builder
	b.WriteString(v.dir)
	for _, file := range v.files {
		if info, err := v.host.Root.Lstat(file); err == nil {
			fmt.Fprintf(&b, "\n%s %d %s", file, info.Size(), info.ModTime())
		}
	}
	return b.String()
}

// watched are the files of containerd's configuration, as this process names
// them.
func (v *containerdView) watched() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	var files []string
	for _, file := range v.files {
		files = append(files, v.host.Root.Path(file))
	}
	return files
}

// state is what the last look found; nil before it.
func (v *containerdView) state() *status.Containerd {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.found
}

// run looks now and then until ctx is done, and calls changed when what it
// found is another than before.
func (v *containerdView) run(ctx context.Context, changed func()) error {
	tick := time.NewTicker(containerdEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-v.wake:
		case <-tick.C:
		}
		if v.refresh(ctx) {
			changed()
		}
	}
}

// refresh looks once, and reports whether something is new.
func (v *containerdView) refresh(ctx context.Context) bool {
	v.mu.Lock()
	dir := v.dir
	v.mu.Unlock()
	if dir == "" {
		return false
	}
	c, err := nodepkg.Discover(ctx, v.host)
	now := status.Containerd{ConfigPath: c.ConfigPath, Reads: status.ReadsUnknown}
	if err != nil {
		now.Why = err.Error()
	} else {
		var r nodepkg.Reading
		r, now.Why, now.Remedy = c.ReadsFrom(v.host, dir)
		now.Reads = status.Reads(r)
	}
	if !c.Release.IsZero() {
		now.Version = c.Release.String()
	}
	files := []string{c.ConfigPath}
	for _, f := range c.Config.Files {
		if f.ImportedBy != "" {
			files = append(files, f.Path)
		}
	}
	for _, imported := range c.Config.ImportDirs() {
		if imported != path.Dir(c.ConfigPath) {
			files = append(files, imported)
		}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	now.Since = time.Now()
	if v.found != nil && v.found.Reads == now.Reads {
		now.Since = v.found.Since
	}
	isNew := v.found == nil || *v.found != now
	v.found, v.files = &now, files
	v.seen = v.stamp()
	return isNew
}
