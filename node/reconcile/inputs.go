package reconcile

import (
	"context"
	"os"

	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/hostsconf"
	"github.com/berth-registry/berth/internal/nodefs"
	"github.com/berth-registry/berth/node"
	"github.com/berth-registry/berth/node/desired"
	"github.com/berth-registry/berth/node/probestate"
)

// machineOf is the node below a root, with its processes if its /proc is below the root too.
func machineOf(root *nodefs.Root) node.Machine {
	if root.Path("/") == "/" {
		return node.This(root)
	}
	m := node.Machine{Root: root}
	proc := root.Path("/proc")
	if _, err := os.Stat(proc + "/1/stat"); err == nil {
		m.Proc, m.Version = proc, node.AskVersion
	}
	return m
}

// SetProc sets the path of the node's /proc, as this process can open it.
func (n *Node) SetProc(proc string) { n.Machine.Proc, n.Machine.Version = proc, node.AskVersion }

// Readers returns the programs that read the node's hosts.toml files.
func (n *Node) Readers(ctx context.Context) desired.Readers {
	return desired.Readers{Containerd: n.running.Release(ctx, n.Machine)}
}

// Inputs are what the desired states of a node depend on besides the config.
type Inputs struct {
	desired.Inputs // for containerd's directory
	docker         dockerInputs
	kubelet        node.KubeletLogins // what kubelet reads; zero if nothing is written there
}

// States are the desired states of a node's directories.
type States struct {
	Containerd *desired.State
	// Docker is nil if nothing is written for Docker.
	Docker  *desired.State
	docker  dockerInputs
	kubelet node.KubeletLogins
}

// Inputs returns what the desired states depend on, except for tokens and health. facts are what
// the prober has learned.
func (n *Node) Inputs(ctx context.Context, cfg *config.Config, facts []probestate.Fact) (Inputs, error) {
	foreign, err := n.foreignCertificates(n.containerdTree(cfg))
	if err != nil {
		return Inputs{}, err
	}
	in := Inputs{Inputs: desired.Inputs{Readers: n.Readers(ctx), Learned: facts, Foreign: foreign}}
	if cfg.Kubelet.ConfigJSON {
		in.kubelet = node.FindKubeletLogins(n.Machine)
	}
	if in.docker, err = n.dockerInputs(ctx, cfg); err != nil {
		return Inputs{}, err
	}
	if in.docker.on && in.docker.shared {
		in.Readers.Docker = &in.docker.settings
	}
	return in, nil
}

// Compute returns the desired states.
func (in Inputs) Compute(cfg *config.Config) States {
	states := States{Containerd: desired.Compute(cfg, in.Inputs), docker: in.docker, kubelet: in.kubelet}
	if in.docker.on && !in.docker.shared {
		theirs := in.Inputs
		theirs.CertsDir, theirs.Foreign = cfg.Docker.CertsDir, in.docker.foreign
		// nerdctl reads the directory too, and so may containerd: any release.
		theirs.Readers = desired.Readers{Docker: &in.docker.settings}
		states.Docker = desired.Compute(cfg, theirs)
	}
	return states
}

// Inspect returns what [desired.KubeletImages] needs besides the config, on the node of m. A
// learned.json that cannot be read counts as missing.
func Inspect(ctx context.Context, m node.Machine) desired.Inputs {
	n := &Node{Root: m.Root, Machine: m}
	l, _ := n.Learned()
	return desired.Inputs{Readers: n.Readers(ctx), Learned: l.Facts}
}

// foreignCertificates finds the certificates in a directory that Berth did not write. On a node
// without any, it only lists the names.
func (n *Node) foreignCertificates(tree *hostsconf.Tree) (hostsconf.Foreign, error) {
	certsDir, err := n.Root.Resolve(tree.CertsDir())
	if err != nil || !hostsconf.HasCertificates(certsDir) {
		return hostsconf.Foreign{}, err
	}
	snapshot, err := tree.Read(hostsconf.DesiredFiles{})
	return hostsconf.FindForeignCertificates(certsDir, snapshot), err
}
