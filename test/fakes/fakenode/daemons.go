package fakenode

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	yaml "go.yaml.in/yaml/v3"

	"github.com/berth-registry/berth/internal/containerdconf"
	"github.com/berth-registry/berth/node"
	"github.com/berth-registry/berth/node/install"
)

// flags returns the flags that kubelet's service has on disk.
func (n *Node) flags() (node.Kubelet, error) {
	service, err := node.ReadService(n.root, Kubelet)
	if errors.Is(err, fs.ErrNotExist) {
		return node.Kubelet{}, nil
	}
	if err != nil {
		return node.Kubelet{}, err
	}
	k, ok := service.Kubelet()
	if !ok {
		return k, fmt.Errorf("%s starts no kubelet: %q", service.Path, service.Commands)
	}
	return k, nil
}

// CheckContainerd returns how containerd reads its configuration, or why it would not start with it
// or would start without its CRI.
func (n *Node) CheckContainerd() (containerdconf.Assessment, error) {
	m := n.Machine()
	m.Proc = ""
	c, err := node.Discover(context.Background(), m)
	if err != nil {
		return containerdconf.Assessment{}, err
	}
	for _, t := range c.Verdict.Issues {
		switch t.ID {
		case containerdconf.IssueUnset, containerdconf.IssueList, containerdconf.IssueWrongTable, containerdconf.IssueRelative, containerdconf.IssueMirrors:
		default:
			if t.Blocking {
				return c.Verdict, fmt.Errorf("containerd: %s: %s", t.Where, t.Detail)
			}
		}
	}
	return c.Verdict, nil
}

// CheckKubelet returns why kubelet would not start: with the unit that systemd has loaded, or with
// the files that systemd would read after a reboot.
func (n *Node) CheckKubelet() error {
	both, err := n.KubeletFlags()
	for _, f := range both {
		err = errors.Join(err, n.CheckFlags(f))
	}
	return err
}

// KubeletFlags returns kubelet's flags for credential providers: those of the unit that systemd has
// loaded, and those after a reboot.
func (n *Node) KubeletFlags() ([]Flags, error) {
	s, err := n.load()
	if err != nil {
		return nil, err
	}
	next, err := n.NextFlags()
	return []Flags{{s.Config, s.Dir}, next}, err
}

// NextFlags returns kubelet's flags after a reboot.
func (n *Node) NextFlags() (Flags, error) {
	k, err := n.flags()
	return Flags{k.ProviderConfig, k.ProviderDir}, err
}

// Flags are the values of kubelet's two flags for credential providers: paths on the node, "" for a
// flag that is not set.
type Flags struct{ Config, Dir string }

// Knows returns an error if a daemon runs with a configuration other than the one on disk.
func (n *Node) Knows() error {
	s, err := n.load()
	if err != nil {
		return err
	}
	v, err := n.CheckContainerd()
	if err != nil {
		return err
	}
	if s.Active[Containerd] == "active" && s.ConfigPath != v.ConfigPath {
		err = fmt.Errorf("containerd runs with %q, and %q is written", s.ConfigPath, v.ConfigPath)
	}
	k, flagsErr := n.flags()
	if s.Config != k.ProviderConfig {
		err = errors.Join(err, fmt.Errorf("systemd would start kubelet with %q, and %q is written", s.Config, k.ProviderConfig))
	}
	running, runs, processErr := node.FindKubelet(n.Machine())
	if runs && running.ProviderConfig != k.ProviderConfig {
		err = errors.Join(err, fmt.Errorf("kubelet runs with %q, and %q is written", running.ProviderConfig, k.ProviderConfig))
	}
	return errors.Join(err, flagsErr, processErr)
}

// CheckFlags returns why kubelet would not start with these flags.
func (n *Node) CheckFlags(f Flags) error {
	if f.Config == "" && f.Dir == "" {
		return nil
	}
	if f.Config == "" || f.Dir == "" {
		return errors.New("kubelet: one flag without the other")
	}
	files := []string{n.Path(f.Config)}
	if info, err := os.Stat(files[0]); err == nil && info.IsDir() {
		if files, err = filepath.Glob(filepath.Join(files[0], "*.*")); err != nil {
			return err
		}
	}
	var names []string
	for _, file := range files {
		if !slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(file)) {
			continue
		}
		raw, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("kubelet: %w", err)
		}
		var c struct {
			Kind      string
			Providers []struct{ Name string }
		}
		if err := yaml.Unmarshal(raw, &c); err != nil || c.Kind != "CredentialProviderConfig" || len(c.Providers) == 0 {
			return fmt.Errorf("kubelet: %s: no providers in it (%w)", file, err)
		}
		for _, p := range c.Providers {
			if slices.Contains(names, p.Name) {
				return fmt.Errorf("kubelet: %s: %s is there twice", file, p.Name)
			}
			names = append(names, p.Name)
		}
	}
	for _, name := range names {
		if info, err := os.Stat(n.Path(path.Join(f.Dir, name))); err != nil || !info.Mode().IsRegular() || info.Mode()&0o111 == 0 {
			return fmt.Errorf("kubelet: the provider %s cannot be run (%w)", name, err)
		}
	}
	if len(names) == 0 {
		return fmt.Errorf("kubelet: %s holds no provider", f.Config)
	}
	return nil
}

// Runtime returns the CRI of the node's containerd.
func (n *Node) Runtime(string) (install.Runtime, error) { return runtime{n}, nil }

type runtime struct{ n *Node }

func (runtime) Close() error { return nil }

func (r runtime) Status(context.Context) (install.RuntimeStatus, error) {
	s, err := r.n.load()
	if err != nil {
		return install.RuntimeStatus{}, err
	}
	if s.Active[Containerd] != "active" {
		return install.RuntimeStatus{}, errors.New("connection refused")
	}
	return install.RuntimeStatus{
		Ready: true, Version: "v" + r.n.release,
		ConfigPath: s.ConfigPath, Reported: strings.HasPrefix(r.n.release, "1."),
	}, nil
}
