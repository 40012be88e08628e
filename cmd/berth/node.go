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

// nodeHost is the node below the root. Its processes are looked at, and containerd is asked for
// its version, only where the node's /proc is known: named by proc, or this machine's.
func nodeHost(o *cli.Options, root *nodefs.Root, proc string) node.Host {
	h := node.Host{Root: root, Proc: proc}
	if dir, err := filepath.Abs(o.Root); proc == "" && err == nil && dir == "/" {
		h.Proc = "/proc"
	}
	if h.Proc != "" {
		h.Version = node.AskVersion
	}
	return h
}

// kubeletRefusal is why "berth install --kubelet" would refuse the node, nil when it would
// not. Nothing is changed. cfg may be nil.
func kubeletRefusal(ctx context.Context, o *cli.Options, h node.Host, cfg *config.Config) error {
	images := desired.KubeletImages(cmp.Or(cfg, config.Default()), reconcile.Inspect(ctx, h))
	return install.KubeletRefusal(ctx, h, images)
}
