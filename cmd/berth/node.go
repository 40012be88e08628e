package main

import (
	"cmp"
	"context"
	"path/filepath"

	"github.com/berth-registry/berth/cmd/berth/cli"
	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/internal/nodefs"
	"github.com/berth-registry/berth/node"
	"github.com/berth-registry/berth/node/desired"
	"github.com/berth-registry/berth/node/install"
	"github.com/berth-registry/berth/node/reconcile"
)

// machine is the node below the root. Its processes are looked at, and containerd is asked for
// its version, only where the node's /proc is known: named by proc, or this machine's.
func machine(o *cli.Options, root *nodefs.Root, proc string) node.Machine {
	m := node.Machine{Root: root, Proc: proc}
	if dir, err := filepath.Abs(o.Root); proc == "" && err == nil && dir == "/" {
		m.Proc = "/proc"
	}
	if m.Proc != "" {
		m.Version = node.AskVersion
	}
	return m
}

// kubeletRefusal is why "berth install --kubelet" would refuse the node, nil when it would
// not. Nothing is changed. cfg may be nil.
func kubeletRefusal(ctx context.Context, o *cli.Options, m node.Machine, cfg *config.Config) error {
	images := desired.KubeletImages(cmp.Or(cfg, config.Default()), reconcile.Inspect(ctx, m))
	return install.KubeletRefusal(ctx, m, images)
}
