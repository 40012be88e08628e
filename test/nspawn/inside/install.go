package main

import (
	"context"
	"os"
	"syscall"

	"github.com/berth-registry/berth/internal/nodefs"
	"github.com/berth-registry/berth/node"
	"github.com/berth-registry/berth/node/install"
	"github.com/berth-registry/berth/node/install/systemd"
)

// installUntil switches Docker's image store as berth install --docker does, and kills this process
// before a step. It returns if there is no such step.
func installUntil(ctx context.Context, step string) error {
	root, err := nodefs.OpenRoot("/")
	if err != nil {
		return err
	}
	defer root.Close()
	bus, err := systemd.Dial(ctx, root)
	if err != nil {
		return err
	}
	defer bus.Close()
	in, err := install.New(node.This(root), install.Options{Services: bus, Step: func(what string) error {
		if what != step {
			return nil
		}
		if err := syscall.Kill(os.Getpid(), syscall.SIGKILL); err != nil {
			return err
		}
		select {} // it takes a moment
	}})
	if err != nil {
		return err
	}
	plan, err := in.Install(ctx, install.Parts{Docker: true})
	if err != nil {
		return err
	}
	return in.Do(ctx, plan)
}
