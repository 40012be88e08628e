package trace

import (
	"context"
	"io"
	"net/http"
	"path/filepath"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/log"
	"github.com/sirupsen/logrus"

	"github.com/berth-registry/berth/hostsconf"
)

// directory is the directory of certs.d for a registry.
type directory struct {
	certsDir string
	path     string // "" if there is none
	family   hostsconf.Family
	hostsconf.Resolution
}

// find looks up a registry in the directories of config_path. Like in containerd's CRI plugin, the
// first one that has a directory for it counts. containerd fails the pull with the returned error.
func (n Node) find(registry string) (directory, error) {
	d := directory{family: n.family()}
	for _, certsDir := range n.CertsDirs {
		d.certsDir = certsDir
		var err error
		d.Resolution, err = d.family.Lookup(certsDir, registry)
		if n.lacksDefault() {
			d.Resolution = withoutDefault(d.Resolution)
			if d.Dir == "" {
				err = nil
			}
		}
		if d.Dir == "" {
			if err != nil {
				return d, err
			}
			continue
		}
		d.path = filepath.Join(certsDir, d.Dir)
		return d, err
	}
	return d, nil
}

// hosts returns containerd's own hosts for a registry. update is called for each client before its
// use.
func (d directory) hosts(registry string, update func(*http.Client) error) ([]docker.RegistryHost, error) {
	return d.family.RegistryHosts(d.path, registry, update)
}

// quiet keeps containerd's packages from logging.
func quiet(ctx context.Context) context.Context {
	logger := logrus.New()
	logger.SetOutput(io.Discard)
	return log.WithLogger(ctx, logrus.NewEntry(logger))
}

// differences reports a file that other releases read differently, if the running release is
// unknown.
func (n Node) differences(d directory) []Note {
	if !n.Release.IsZero() || n.Docker != nil || d.Dir == "" {
		return nil
	}
	text := hostsconf.Differences(d.certsDir, d.Registry)
	if text == "" {
		return nil
	}
	return []Note{{
		ID: "release", Text: "the release of containerd is not known, and " + filepath.Join(d.path, "hosts.toml") + " is read differently: " + text,
		Remedy: `run "containerd --version"; write the file as "berth apply" would, which every release reads alike`,
	}}
}
