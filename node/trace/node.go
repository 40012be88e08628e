package trace

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/berth-registry/berth/internal/containerdconf"
	"github.com/berth-registry/berth/internal/proxy"
	"github.com/berth-registry/berth/node"
)

// Node is the part of a node that decides where its pulls go.
type Node struct {
	// CertsDirs are the directories of config_path as this process opens them, in order; none if
	// containerd reads no hosts.toml files.
	CertsDirs []string
	// Release is that of containerd. The zero value is treated as the newest release.
	Release containerdconf.Release
	Proxy   proxy.Settings // that of containerd's environment
	// Refused is the fault of its configuration with which containerd pulls nothing, or with which
	// the sources cannot be known; "" if there is none.
	Refused string
	// Unloaded says that a file of its configuration was changed after containerd was started, so
	// its effective configuration is unknown; "" if none was.
	Unloaded string
	Notes    []Note
	// Docker are the settings of the Docker Engine that pulls in place of containerd; nil for
	// containerd.
	Docker *node.DockerSettings
}

// Look finds the containerd of a node and its configuration. configured is the certs.d that Berth
// writes to; it is used if the node configures no containerd. getenv is the environment of this
// process; it is used if containerd does not run.
func Look(ctx context.Context, m node.Machine, configured string, getenv func(string) string) (Node, error) {
	c, err := node.Discover(ctx, m)
	if err != nil {
		return Node{}, err
	}
	n := Node{Release: c.Release, Proxy: proxy.FromEnvironment(getenv)}
	if c.PID != 0 {
		if proxy, err := node.ProxyOf(m, c.PID); err == nil {
			n.Proxy = proxy
		} else {
			n.note("proxy", "the proxy of containerd's environment cannot be read; that of this command is used", "run this as root")
		}
	} else {
		if _, err := m.Root.Lstat(c.ConfigPath); errors.Is(err, fs.ErrNotExist) {
			if configured == "" {
				configured = containerdconf.DefaultCertsDir
			}
			n.CertsDirs = []string{m.Root.Path(configured)}
			n.note("no-containerd", "no containerd runs or is configured here; this is the result for one that reads "+configured,
				"run this where containerd runs")
			return n, nil
		}
	}
	n.assess(c)
	if changed := node.ChangedSince(m, c); len(changed) > 0 {
		n.Unloaded = changed[0] + " was changed after containerd was started, and is read only then"
		n.note("unloaded", n.Unloaded, node.Restart(c.Unit, "containerd"))
	}
	for _, dir := range filepath.SplitList(certsDirs(c)) {
		n.CertsDirs = append(n.CertsDirs, m.Root.Path(dir))
	}
	return n, nil
}

// certsDirs is the config_path that is honoured, "" if none is.
func certsDirs(c node.Containerd) string {
	if !c.Verdict.Honoured {
		return ""
	}
	return c.Verdict.ConfigPath
}

// assess copies the issues of the configuration.
func (n *Node) assess(c node.Containerd) {
	for _, t := range c.Verdict.Issues {
		n.note(string(t.ID), t.Where+": "+t.Detail, t.Remedy)
		if t.Blocking && n.Refused == "" && !upstreamOnly(t.ID) {
			n.Refused = t.Where + ": " + t.Detail
		}
	}
	if len(c.Others) > 0 {
		n.note("others", "more than one containerd runs here; this is the result for that of "+c.Detail, "")
	}
}

// upstreamOnly reports whether containerd still pulls with this issue, but every image from its own
// registry.
func upstreamOnly(id containerdconf.IssueID) bool {
	switch id {
	case containerdconf.IssueUnset, containerdconf.IssueList, containerdconf.IssueWrongTable, containerdconf.IssueImportReplaces:
		return true
	}
	return false
}

func (n *Node) note(id, text, remedy string) {
	n.Notes = append(n.Notes, Note{ID: id, Text: strings.TrimPrefix(text, ": "), Remedy: remedy})
}
