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

// containerdMonitor knows whether the node's containerd reads the files that the agent writes. It
// changes nothing there.
type containerdMonitor struct {
	machine nodepkg.Machine
	wake    chan struct{} // capacity 1

	mu        sync.Mutex
	dir       string // certs.d that the agent writes; "" before the first config
	files     []string
	lastStamp string // stamp of dir and files at the last refresh
	last      *status.Containerd
	versions  map[string]string // output of --version, by path, size and time of the program
}

// newContainerdMonitor inspects the node below the root of n. Processes and version are only known
// if that root is "/".
func newContainerdMonitor(n *reconcile.Node) *containerdMonitor {
	m := &containerdMonitor{machine: nodepkg.Machine{Root: n.Root}, wake: make(chan struct{}, 1), versions: map[string]string{}}
	if n.Root.Path("/") == "/" {
		m.machine = nodepkg.This(n.Root)
		m.machine.Version = m.cachedVersion
	}
	return m
}

// cachedVersion runs each program once, and again when its file changed.
func (m *containerdMonitor) cachedVersion(ctx context.Context, binary string) (string, error) {
	key := binary
	if info, err := os.Stat(binary); err == nil {
		key = fmt.Sprintf("%s %d %s", binary, info.Size(), info.ModTime())
	}
	if text, ok := m.versions[key]; ok {
		return text, nil
	}
	text, err := nodepkg.AskVersion(ctx, binary)
	if err == nil {
		clear(m.versions)
		m.versions[key] = text
	}
	return text, err
}

// setDir sets the certs.d that the agent writes. If it or a file of containerd's configuration
// changed, run refreshes soon.
func (m *containerdMonitor) setDir(dir string) {
	m.mu.Lock()
	m.dir = dir
	changed := m.stamp() != m.lastStamp
	m.mu.Unlock()
	if changed {
		select {
		case m.wake <- struct{}{}:
		default:
		}
	}
}

// stamp changes when dir or one of the files changes. The caller holds mu.
func (m *containerdMonitor) stamp() string {
	var b strings.Builder
	b.WriteString(m.dir)
	for _, file := range m.files {
		if info, err := m.machine.Root.Lstat(file); err == nil {
			fmt.Fprintf(&b, "\n%s %d %s", file, info.Size(), info.ModTime())
		}
	}
	return b.String()
}

// configFiles returns the files of containerd's configuration, as paths of this process.
func (m *containerdMonitor) configFiles() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var files []string
	for _, file := range m.files {
		files = append(files, m.machine.Root.Path(file))
	}
	return files
}

// lastResult returns the result of the last refresh, nil before the first.
func (m *containerdMonitor) lastResult() *status.Containerd {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.last
}

// run refreshes on a timer and after [containerdMonitor.setDir] until ctx is done. It calls changed
// when the result differs from the one before.
func (m *containerdMonitor) run(ctx context.Context, changed func()) error {
	tick := time.NewTicker(containerdEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-m.wake:
		case <-tick.C:
		}
		if m.refresh(ctx) {
			changed()
		}
	}
}

// refresh inspects containerd once and reports whether the result changed.
func (m *containerdMonitor) refresh(ctx context.Context) bool {
	m.mu.Lock()
	dir := m.dir
	m.mu.Unlock()
	if dir == "" {
		return false
	}
	c, err := nodepkg.Discover(ctx, m.machine)
	now := status.Containerd{ConfigPath: c.ConfigPath, Reads: status.ReadsUnknown}
	if err != nil {
		now.Why = err.Error()
	} else {
		var r nodepkg.Reading
		r, now.Why, now.Remedy = c.ReadsFrom(m.machine, dir)
		now.Reads = status.Reads(r)
		now.CRIDisabled = c.NoCRI()
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
	m.mu.Lock()
	defer m.mu.Unlock()
	now.Since = time.Now()
	if m.last != nil && m.last.Reads == now.Reads {
		now.Since = m.last.Since
	}
	isNew := m.last == nil || *m.last != now
	m.last, m.files = &now, files
	m.lastStamp = m.stamp()
	return isNew
}
