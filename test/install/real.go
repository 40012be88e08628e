package main

import (
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

	"github.com/berth-registry/berth/test/fakes/fakenode"
	"github.com/berth-registry/berth/test/standalone"
)

// realPrograms are run once for each different set of files.
type realPrograms struct {
	o       options
	answers map[string]error
	runtime *realContainerd // for kubelet; started when it is first needed

	startedContainerd, startedKubelet, refusedKubelet, askedKeyring int
}

func newRealPrograms(o options) *realPrograms {
	return &realPrograms{o: o, answers: map[string]error{}}
}

func (p *realPrograms) String() string {
	return fmt.Sprintf("%d starts of %d containerds, %d of kubelet (and %d that it and its stand-in refuse), %d of kubelet's provider code",
		p.startedContainerd, len(p.o.containerds), p.startedKubelet, p.refusedKubelet, p.askedKeyring)
}

func (p *realPrograms) close() error {
	if p.runtime == nil {
		return nil
	}
	return p.runtime.close()
}

// containerd checks that the real containerd of the node's line starts.
func (p *realPrograms) containerd(ctx context.Context, n *fakenode.Node) error {
	for _, daemon := range p.o.containerds {
		version, err := exec.CommandContext(ctx, daemon, "--version").Output()
		if err != nil {
			return fmt.Errorf("%s: %w", daemon, err)
		}
		// Of the same line: other lines read these files differently.
		if line, _, _ := strings.Cut(n.Release(), "."); !strings.Contains(string(version), " "+line+".") && !strings.Contains(string(version), " v"+line+".") {
			continue
		}
		err = p.once(func() error {
			p.startedContainerd++
			c, err := startContainerd(ctx, daemon, n.Root())
			if err != nil {
				return err
			}
			return c.close()
		}, daemon, filepath.Join(n.Root(), "etc/containerd"))
		if err != nil {
			return err
		}
	}
	return nil
}

// errDisagree: the stand-in's result for a node has no value.
var errDisagree = errors.New("kubelet and its stand-in disagree")

// kubelet checks that the real kubelet starts with the flags that systemd has loaded, and with
// those after a reboot.
func (p *realPrograms) kubelet(ctx context.Context, n *fakenode.Node) error {
	flags, err := n.KubeletFlags()
	if err != nil {
		return err
	}
	for _, f := range flags {
		config, dir := opened(n, f.Config), opened(n, f.Dir)
		if p.o.kubelet != "" {
			expected := n.CheckFlags(f)
			err := p.once(func() error {
				err := p.startKubelet(ctx, config, dir)
				if (err == nil) != (expected == nil) && ctx.Err() == nil {
					return fmt.Errorf("%w: %w; the stand-in: %w", errDisagree, orFine(err), orFine(expected))
				}
				return err
			}, p.o.kubelet, config, dir)
			if err != nil {
				return err
			}
		}
		if p.o.keyring != "" && config != "" {
			err := p.once(func() error {
				p.askedKeyring++
				if out, err := exec.CommandContext(ctx, p.o.keyring, config, dir).CombinedOutput(); err != nil {
					return fmt.Errorf("kubelet would not start: %w: %s", err, out)
				}
				return nil
			}, p.o.keyring, config, dir)
			if err != nil {
				return err
			}
		}
	}
	return nil
}

var errFine = errors.New("it starts")

func orFine(err error) error {
	if err == nil {
		return errFine
	}
	return err
}

// opened returns the path of a node's file for programs of this machine; "" stays "".
func opened(n *fakenode.Node, name string) string {
	if name == "" {
		return ""
	}
	return n.Path(name)
}

// startKubelet starts a kubelet with the two flags and waits until it logs that it runs.
func (p *realPrograms) startKubelet(ctx context.Context, config, dir string) (err error) {
	if p.runtime == nil {
		newest := p.o.containerds[len(p.o.containerds)-1]
		if p.runtime, err = startContainerd(ctx, newest, ""); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	k, err := standalone.Start(standalone.Options{Program: p.o.kubelet, Socket: p.runtime.socket(), ProviderConfig: config, ProviderBinDir: dir})
	if err != nil {
		return err
	}
	_, err = k.WaitForLog(ctx, `"Started kubelet"`)
	if err == nil {
		p.startedKubelet++
		return k.Close()
	}
	p.refusedKubelet++
	lines := strings.Split(strings.TrimSpace(k.Log()), "\n")
	return errors.Join(fmt.Errorf("%w: %s", err, lines[len(lines)-1]), k.Close())
}

// once asks a program about files, unless it has been asked about the same ones: then the answer is
// the same.
func (p *realPrograms) once(ask func() error, program string, places ...string) error {
	sum := sha256.New()
	fmt.Fprintln(sum, program)
	for _, place := range places {
		fmt.Fprintf(sum, "%t\n", place == "")
		_ = filepath.WalkDir(place, func(name string, d fs.DirEntry, err error) error {
			if err != nil {
				return nil // a missing file is part of the state
			}
			info, err := d.Info()
			if err == nil && info.Mode().IsRegular() {
				raw, _ := os.ReadFile(name)
				fmt.Fprintf(sum, "%s %s %d\n%s\n", strings.TrimPrefix(name, place), info.Mode(), len(raw), raw)
			}
			return nil
		})
	}
	key := hex.EncodeToString(sum.Sum(nil))
	answer, asked := p.answers[key]
	if !asked {
		answer = ask()
		p.answers[key] = answer
	}
	return answer
}
