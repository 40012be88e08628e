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

// containerdEvery is how often the node's containerd is inspected when no file of its
// configuration changes: it may have been restarted.
const containerdEvery = time.Minute

// containerdView knows whether the node's containerd reads the files that the agent writes. It
// changes nothing there.
type containerdView struct {
	host nodepkg.Host
	wake chan struct{} // capacity 1

	mu      sync.Mutex
	dir     string // certs.d that the agent writes; "" before the first config
	files   []string
	seen    string // stamp of dir and files at the last refresh
	found   *status.Containerd
	version map[string]string // output of --version, by path, size and time of the program
}

// newContainerdView inspects the node below the root of m. Processes and version are only known
// if that root is "/".
func newContainerdView(m *reconcile.Node) *containerdView {
	v := &containerdView{host: nodepkg.Host{Root: m.Root}, wake: make(chan struct{}, 1), version: map[string]string{}}
	if m.Root.Path("/") == "/" {
		v.host = nodepkg.This(m.Root)
		v.host.Version = v.askVersion
	}
	return v
}

// askVersion runs each program once, and again when its file changed.
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

// set sets the certs.d that the agent writes. If it or a file of containerd's configuration
// changed, run refreshes soon.
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

// stamp changes when dir or one of the files changes. The caller holds mu.
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

// watched returns the files of containerd's configuration, as paths of this process.
func (v *containerdView) watched() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	var files []string
	for _, file := range v.files {
		files = append(files, v.host.Root.Path(file))
	}
	return files
}

// state returns the result of the last refresh, nil before the first.
func (v *containerdView) state() *status.Containerd {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.found
}

// run refreshes on a timer and after [containerdView.set] until ctx is done. It calls changed
// when the result differs from the one before.
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

// refresh inspects containerd once and reports whether the result changed.
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
