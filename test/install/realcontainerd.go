package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/berth-registry/berth/internal/cri"
	"github.com/berth-registry/berth/node/install"
	"github.com/berth-registry/berth/test/isolate"
)

// enter makes a machine out of the node's /etc and becomes the daemon.
const enter = `set -eu
for d in etc var run; do mount -t tmpfs tmpfs "/$d"; done
if [ -d "$TREE/etc" ]; then cp -a "$TREE/etc/." /etc/; fi
if [ -e /etc/containerd/config.toml ]; then set -- --config /etc/containerd/config.toml; else set --; fi
exec "$DAEMON" "$@" --root /var/lib/trial --state /run/trial --address "$DIR/sock"
`

// patience is how long a program may take to start on a busy machine.
const patience = 2 * time.Minute

// realContainerd is a running containerd.
type realContainerd struct {
	dir   string
	cmd   *exec.Cmd
	ended chan struct{}
	log   bytes.Buffer // to be read once it has ended
}

// startContainerd starts a real containerd and waits for its CRI, on a machine with the /etc of a
// tree, or without any if tree is "". The caller must call close.
func startContainerd(ctx context.Context, daemon, tree string) (*realContainerd, error) {
	dir, err := os.MkdirTemp("/tmp", "berth-it-") // short, for the socket
	if err != nil {
		return nil, err
	}
	c := &realContainerd{dir: dir, ended: make(chan struct{})}
	c.cmd = isolate.Command(enter)
	c.cmd.Env = []string{"PATH=" + filepath.Dir(daemon) + ":/usr/sbin:/usr/bin:/sbin:/bin", "TREE=" + tree, "DIR=" + dir, "DAEMON=" + daemon}
	if tree == "" {
		c.cmd.Env[1] = "TREE=" + filepath.Join(dir, "none")
	}
	c.cmd.Dir = "/"
	c.cmd.Stdout, c.cmd.Stderr = &c.log, &c.log
	if err := c.cmd.Start(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	go func() {
		defer close(c.ended)
		_ = c.cmd.Wait() // the log says more than the exit status
	}()
	if err := c.ready(ctx); err != nil {
		err = errors.Join(err, c.close())
		return nil, fmt.Errorf("%s: %w\n%s", daemon, err, c.log.String()[max(0, c.log.Len()-2000):])
	}
	return c, nil
}

func (c *realContainerd) socket() string { return filepath.Join(c.dir, "sock") }

// close ends it and everything that it has started.
func (c *realContainerd) close() error {
	_ = c.cmd.Process.Kill() // it may have ended by itself
	<-c.ended
	return os.RemoveAll(c.dir)
}

// ready waits until the CRI is ready.
func (c *realContainerd) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	runtime, err := install.DialRuntime(c.socket())
	if err != nil {
		return err
	}
	defer runtime.Close()
	for {
		s, err := runtime.Status(ctx)
		if errors.Is(err, cri.ErrNoCRI) || err == nil && s.Ready {
			return err
		}
		select {
		case <-c.ended:
			return errors.New("it ended")
		case <-ctx.Done():
			return fmt.Errorf("it is not ready: %w", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}
