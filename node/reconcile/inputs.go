package reconcile

import (
	"context"
	"os"

	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/hostsconf"
	"github.com/berth-registry/berth/internal/nodefs"
	nodes "github.com/berth-registry/berth/node"
	"github.com/berth-registry/berth/node/desired"
	"github.com/berth-registry/berth/node/probestate"
)

// hostOf is the node below a root, with its processes if its /proc is below the root too.
func hostOf(root *nodefs.Root) nodes.Host {
	if root.Path("/") == "/" {
		return nodes.This(root)
	}
	h := nodes.Host{Root: root}
	proc := root.Path("/proc")
	if _, err := os.Stat(proc + "/1/stat"); err == nil {
		h.Proc, h.Version = proc, nodes.AskVersion
	}
	return h
}

// SetProc sets the path of the node's /proc, as this process can open it.
func (n *Node) SetProc(proc string) { n.Host.Proc, n.Host.Version = proc, nodes.AskVersion }

// Readers returns the programs that read the node's hosts.toml files.
func (n *Node) Readers(ctx context.Context) desired.Readers {
	return desired.Readers{Containerd: n.running.Release(ctx, n.Host)}
}

// inputs returns what the desired state depends on besides the config, except for tokens and
// health.
func (n *Node) inputs(ctx context.Context, cfg *config.Config, l probestate.SavedLogins) (desired.Inputs, error) {
	foreign, err := n.ForeignCertificates(cfg)
	return desired.Inputs{Readers: n.Readers(ctx), Learned: l.Facts, Foreign: foreign}, err
}

// Inspect returns what [desired.KubeletImages] needs besides the config, on the node of h. A
// learned.json that cannot be read counts as missing.
func Inspect(ctx context.Context, h nodes.Host) desired.Inputs {
	m := &Node{Root: h.Root, Host: h}
	l, _ := m.Learned()
	return desired.Inputs{Readers: m.Readers(ctx), Learned: l.Facts}
}

// ForeignCertificates finds the certificates in certs.d that Berth did not write. On a node
// without any, it only lists the names.
func (n *Node) ForeignCertificates(cfg *config.Config) (hostsconf.Foreign, error) {
	certsDir, err := n.Root.Resolve(cfg.Containerd.CertsDir)
	if err != nil || !hostsconf.HasCertificates(certsDir) {
		return hostsconf.Foreign{}, err
	}
	snapshot, err := n.tree(cfg).Read(hostsconf.Desired{})
	return hostsconf.FindForeignCertificates(certsDir, snapshot), err
}
