package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/berth-registry/berth/agent/node/install"
	"github.com/berth-registry/berth/test/install/fakenode"
)

// realPrograms are asked about each different set of files once.
type realPrograms struct {
	containerds []string
	keyring     string
	seen        map[string]bool

	startedContainerd, askedKubelet int
}

func (p *realPrograms) String() string {
	return fmt.Sprintf("%d starts of %d containerds, %d of kubelet's provider code", p.startedContainerd, len(p.containerds), p.askedKubelet)
}

func (p *realPrograms) check(ctx context.Context, n *fakenode.Node) error {
	for _, daemon := range p.containerds {
		version, err := exec.CommandContext(ctx, daemon, "--version").Output()
		if err != nil {
			return fmt.Errorf("%s: %w", daemon, err)
		}
		// Of the same line: others read these files in another way.
		if line, _, _ := strings.Cut(n.Release(), "."); !strings.Contains(string(version), " "+line+".") && !strings.Contains(string(version), " v"+line+".") {
			continue
		}
		if !p.fresh(daemon, filepath.Join(n.Root(), "etc/containerd")) {
			continue
		}
		p.startedContainerd++
		if err := startContainerd(ctx, daemon, n); err != nil {
			return err
		}
	}
	config, dir, err := n.Flags()
	if err != nil || config == "" || p.keyring == "" || !p.fresh(p.keyring, config, dir) {
		return err
	}
	p.askedKubelet++
	cmd := exec.CommandContext(ctx, p.keyring, config, dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("kubelet would not start: %w: %s", err, out)
	}
	return nil
}

// fresh reports whether a program has not been asked about these files yet.
func (p *realPrograms) fresh(program string, places ...string) bool {
	sum := sha256.New()
	fmt.Fprintln(sum, program)
	for _, place := range places {
		_ = filepath.WalkDir(place, func(name string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() {
				raw, _ := os.ReadFile(name)
				fmt.Fprintf(sum, "%s %d\n%s\n", strings.TrimPrefix(name, place), len(raw), raw)
			}
			return nil // what is not there is a part of the picture
		})
	}
	key := hex.EncodeToString(sum.Sum(nil))
	was := p.seen[key]
	p.seen[key] = true
	return !was
}

// enter makes a machine out of the node's /etc and becomes the daemon.
const enter = `set -eu
for d in etc var run; do mount -t tmpfs tmpfs "/$d"; done
if [ -d "$TREE/etc" ]; then cp -a "$TREE/etc/." /etc/; fi
if [ -e /etc/containerd/config.toml ]; then set -- --config /etc/containerd/config.toml; else set --; fi
exec "$DAEMON" "$@" --root /var/lib/trial --state /run/trial --address "$DIR/sock"
`

// patience is how long a containerd may take to start on a busy machine.
const patience = 2 * time.Minute

// startContainerd wants a real containerd to come up, with its CRI.
func startContainerd(ctx context.Context, daemon string, n *fakenode.Node) (err error) {
	dir, err := os.MkdirTemp("/tmp", "berth-it-") // short, for the socket
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var log bytes.Buffer
	cmd := exec.CommandContext(ctx, "unshare", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child=KILL", "--propagation", "private", "sh", "-c", enter)
	cmd.Env = []string{"PATH=" + filepath.Dir(daemon) + ":/usr/sbin:/usr/bin:/sbin:/bin", "TREE=" + n.Root(), "DIR=" + dir, "DAEMON=" + daemon}
	cmd.Dir = "/"
	cmd.Stdout, cmd.Stderr = &log, &log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // the log says more than the exit status
	}()
	defer func() {
		_ = cmd.Process.Kill() // it may have ended by itself
		<-ended
		if err != nil {
			err = fmt.Errorf("%s: %w\n%s", daemon, err, log.String()[max(0, log.Len()-2000):])
		}
	}()
	runtime, err := install.DialRuntime(filepath.Join(dir, "sock"))
	if err != nil {
		return err
	}
	defer runtime.Close()
	for {
		s, err := runtime.Status(ctx)
		if errors.Is(err, install.ErrNoCRI) || err == nil && s.Ready {
			return err
		}
		select {
		case <-ended:
			return errors.New("it ended")
		case <-ctx.Done():
			return fmt.Errorf("it is not ready: %w", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}
