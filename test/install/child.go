package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/berth-registry/berth/node/install"
	"github.com/berth-registry/berth/node/providerconfig"
	"github.com/berth-registry/berth/test/fakes/fakenode"
)

const (
	inOrder    = "berth"
	wrongOrder = "flags first"
)

// The operations on a node.
const (
	opInstall   = "install"
	opUninstall = "uninstall"
)

// sayPlanned is the child's output before it changes anything.
const sayPlanned = "planned\n"

// child installs or uninstalls, and kills itself at step -at.
func child(args []string, out io.Writer) error {
	f := flag.NewFlagSet("child", flag.ContinueOnError)
	dir := f.String("dir", "", "the node")
	op := f.String("op", opInstall, "install or uninstall")
	order := f.String("order", inOrder, "installer")
	at := f.Int("at", 0, "the step to die at; 0: none")
	if err := f.Parse(args); err != nil {
		return err
	}
	n := 0
	step := func(string) error {
		if n++; n != *at {
			return nil
		}
		if err := syscall.Kill(os.Getpid(), syscall.SIGKILL); err != nil {
			return err
		}
		select {} // it takes a moment
	}
	return work(context.Background(), *dir, *op, *order, step, func() { fmt.Fprint(out, sayPlanned) })
}

// work does the same as berth install and berth uninstall.
func work(ctx context.Context, dir, op, order string, step func(string) error, planned func()) error {
	n, err := fakenode.Open(dir)
	if err != nil {
		return err
	}
	defer n.Close()
	if order == wrongOrder {
		planned()
		return hasty(ctx, n, step)
	}
	in, err := install.New(n.Machine(), install.Options{
		Services: n, Runtime: n.Runtime, Programs: []string{filepath.Join(dir, providerconfig.Provider)}, SettleTime: time.Millisecond, Step: step,
	})
	if err != nil {
		return err
	}
	plan := in.Install
	if op == opUninstall {
		plan = in.Uninstall
	}
	p, err := plan(ctx, install.Parts{})
	if err != nil {
		return err
	}
	planned()
	return in.Do(ctx, p)
}

// hasty does what a simple script would: flags, configuration, program, in that order.
func hasty(ctx context.Context, n *fakenode.Node, step func(string) error) error {
	flags := "[Service]\nExecStart=\nExecStart=/usr/bin/kubelet --image-credential-provider-config=/etc/p.yaml --image-credential-provider-bin-dir=/opt/p\n"
	config := "apiVersion: kubelet.config.k8s.io/v1\nkind: CredentialProviderConfig\nproviders:\n- name: p\n" +
		"  apiVersion: credentialprovider.kubelet.k8s.io/v1\n  matchImages: [p.corp]\n  defaultCacheDuration: 0s\n"
	for _, f := range []struct{ name, content string }{
		{"/etc/systemd/system/kubelet.service.d/99-p.conf", flags}, {"/etc/p.yaml", config}, {"/opt/p/p", "#!/bin/sh\n"},
	} {
		if err := os.MkdirAll(filepath.Dir(n.Path(f.name)), 0o755); err != nil {
			return err
		}
		if err := step("write"); err != nil {
			return err
		}
		if err := os.WriteFile(n.Path(f.name), []byte(f.content), 0o755); err != nil {
			return err
		}
	}
	if err := step("reload"); err != nil {
		return err
	}
	if err := n.Reload(ctx); err != nil {
		return err
	}
	return n.Restart(ctx, fakenode.Kubelet)
}
