package reconcile

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/credprovider"
	"github.com/berth-registry/berth/hostsconf"
	"github.com/berth-registry/berth/internal/managedfile"
	"github.com/berth-registry/berth/internal/managedfile/record"
	"github.com/berth-registry/berth/internal/nodefs"
	"github.com/berth-registry/berth/node"
)

// Paths on a node, below the root.
const (
	ConfigFile    = config.DefaultPath
	StateDir      = record.DefaultStateDir
	lockFile      = "/run/berth/lock"
	AgentLockFile = "/run/berth/agent.lock"
)

// defaultLockTimeout is how long a command waits for another one on the same node.
const defaultLockTimeout = 30 * time.Second

// Node is the node whose files are written.
type Node struct {
	Root  *nodefs.Root
	Store *managedfile.Store
	// lockTimeout is how long the lock is waited for.
	lockTimeout time.Duration

	// ProbeLogins asks registries what they do with their logins, for [Node.Plan] and [Node.Apply];
	// nil: none is asked.
	ProbeLogins LoginProber

	Machine node.Machine // the same node, to find its containerd
	running node.Running
	docker  dockerCache
}

// Open opens the node whose files are below root, "/" for this one. The directory root is made
// if it is missing; nothing else is written.
func Open(root string) (*Node, error) {
	r, err := nodefs.OpenRoot(root)
	if err != nil {
		return nil, err
	}
	store, err := managedfile.Open(r, StateDir, managedfile.WithPrivate(rulesName, LastGoodFile, HealthFile, LearnedFile, credprovider.HelperLoginsFile))
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return &Node{Root: r, Store: store, lockTimeout: defaultLockTimeout, Machine: machineOf(r)}, nil
}

// Close releases the root.
func (n *Node) Close() error { return n.Root.Close() }

// tree gives access to a directory of hosts.toml files: that of containerd, or that of Docker.
func (n *Node) tree(cfg *config.Config, scope, certsDir string) *hostsconf.Tree {
	adopt := cfg.Containerd.OnConflict == config.ConflictAdopt
	return hostsconf.NewTree(n.Store, hostsconf.Scope(scope, certsDir, adopt), "")
}

func (n *Node) containerdTree(cfg *config.Config) *hostsconf.Tree {
	return n.tree(cfg, hostsconf.ScopeName, cfg.Containerd.CertsDir)
}

func (n *Node) dockerTree(cfg *config.Config) *hostsconf.Tree {
	return n.tree(cfg, hostsconf.DockerScopeName, cfg.Docker.CertsDir)
}

// lock takes the lock that agent, apply and restore share.
func (n *Node) lock(ctx context.Context) (unlock func(), err error) {
	waiting, cancel := context.WithTimeout(ctx, n.lockTimeout)
	defer cancel()
	lock, err := nodefs.LockFile(waiting, n.Root, lockFile, true)
	var locked *nodefs.LockedError
	switch {
	case ctx.Err() == nil && errors.As(err, &locked):
		return nil, fmt.Errorf("%w for more than %s; run this command again when it has ended", locked, n.lockTimeout)
	case err != nil:
		return nil, err
	}
	return func() { lock.Unlock() }, nil
}
