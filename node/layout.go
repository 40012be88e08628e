package node

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"strings"

	"github.com/berth-registry/berth/internal/containerdconf"
	"github.com/berth-registry/berth/internal/nodefs"
)

// Layout is the distribution that set up containerd.
type Layout string

// The layouts.
const (
	Plain    Layout = "plain"
	K3s      Layout = "k3s"
	RKE2     Layout = "rke2"
	K0s      Layout = "k0s"
	MicroK8s Layout = "microk8s"
	EKS      Layout = "eks"
)

// configPaths are the fixed paths of containerd's configuration in each distribution.
func configPaths() []struct {
	layout Layout
	path   string
} {
	return []struct {
		layout Layout
		path   string
	}{
		{K3s, "/var/lib/rancher/k3s/agent/etc/containerd/config.toml"},
		{RKE2, "/var/lib/rancher/rke2/agent/etc/containerd/config.toml"},
		{K0s, "/etc/k0s/containerd.toml"},
		{MicroK8s, "/var/snap/microk8s/current/args/containerd.toml"},
	}
}

// layoutOf returns the distribution that has its configuration at this path.
func layoutOf(root *nodefs.Root, config string) Layout {
	for _, known := range configPaths() {
		if config == known.path {
			return known.layout
		}
	}
	switch {
	case strings.HasPrefix(config, "/var/snap/microk8s/"):
		return MicroK8s
	case strings.HasSuffix(config, "/rke2/agent/etc/containerd/config.toml"):
		return RKE2
	case strings.HasSuffix(config, "/agent/etc/containerd/config.toml"):
		return K3s // with another data directory
	}
	if _, err := root.Lstat("/etc/eks"); err == nil && config == DefaultConfigPath {
		return EKS
	}
	return Plain
}

// fromLayout uses the configuration of an installed distribution.
func (c *Containerd) fromLayout(m Machine) bool {
	for _, known := range configPaths() {
		if _, err := m.Root.Lstat(known.path); err == nil {
			c.Source, c.ConfigPath, c.Detail = FromLayout, known.path, string(known.layout)
			return true
		}
	}
	return false
}

// defaultCertsDir is the certs.d that the distribution's own documentation names, for a
// configuration that sets none.
func (l Layout) defaultCertsDir() string {
	if l == K0s {
		return "/etc/k0s/containerd.d/certs.d"
	}
	return containerdconf.DefaultCertsDir
}

// stable returns the name of a directory that survives an upgrade: a snap has a directory for
// each revision, and a symlink to the present one.
func (l Layout) stable(dir string) string {
	if l != MicroK8s {
		return dir
	}
	return regexp.MustCompile(`^/var/snap/microk8s/x?[0-9]+/`).ReplaceAllString(dir, "/var/snap/microk8s/current/")
}

// ErrManaged matches the error of [Wire] for a configuration that another tool writes.
var ErrManaged = errors.New("is written by another tool")

// ManagedError names the tool that writes a configuration, and where to configure it.
type ManagedError struct {
	Layout Layout
	Path   string
	Remedy string
}

// Error names the file, the tool and the remedy.
func (e *ManagedError) Error() string {
	return fmt.Sprintf("%s: %s writes this file and would overwrite a change; %s", e.Path, e.Layout, e.Remedy)
}

// Is makes errors.Is match ErrManaged.
func (e *ManagedError) Is(target error) bool { return target == ErrManaged }

// remedy says how to make a distribution read hosts.toml files.
func (l Layout) remedy(config string) string {
	switch l {
	case K3s, RKE2:
		return fmt.Sprintf("upgrade %s to 1.27 or later, which sets config_path by itself, and remove mirrors from a template beside the file", l)
	case K0s:
		return `write /etc/k0s/containerd.d/berth.toml, in the version of the other files there, with config_path = "/etc/k0s/containerd.d/certs.d" in the registry table of the CRI plugin`
	case MicroK8s:
		return fmt.Sprintf("set config_path in %s, the template of this file", path.Join(path.Dir(config), "containerd-template.toml"))
	case EKS:
		return "set it in the node's user data for nodeadm (NodeConfig, spec.containerd.config)"
	}
	return ""
}

// Options are the options of [Wire].
type Options struct {
	// CertsDir is the directory to read hosts.toml files from; empty keeps the one that is set,
	// or uses the distribution's default.
	CertsDir string
	// DropMirrors removes deprecated settings that conflict with hosts.toml files.
	DropMirrors bool
}

// Wire returns the files to write so that the node's containerd reads hosts.toml files; none if
// it does already. It writes nothing. The errors are those of containerdconf.Wire, and a
// [*ManagedError] if a file would have to change that another tool writes.
func Wire(c Containerd, o Options) (containerdconf.Wiring, error) {
	w, err := containerdconf.Wire(c.Config, c.Release, containerdconf.Options{
		Dir: o.CertsDir, Default: c.Layout.defaultCertsDir(), DropMirrors: o.DropMirrors,
	})
	if c.Layout == Plain {
		return w, err
	}
	managed := &ManagedError{Layout: c.Layout, Path: c.ConfigPath, Remedy: c.Layout.remedy(c.ConfigPath)}
	var refused *containerdconf.RefusedError
	if errors.As(err, &refused) && (refused.Issue.ID == containerdconf.IssueMirrors || refused.Issue.ID == containerdconf.IssueMirrorsBeside) {
		return w, managed
	}
	for _, f := range w.Files {
		if !f.DropIn {
			return containerdconf.Wiring{}, managed
		}
	}
	return w, err
}
