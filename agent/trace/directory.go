package trace

import (
	"context"
	"io"
	"path/filepath"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	dockerconfig "github.com/containerd/containerd/v2/core/remotes/docker/config"
	"github.com/containerd/log"
	"github.com/sirupsen/logrus"

	"github.com/berth-registry/berth/hostsconf"
)

// directory is what certs.d holds for a registry.
type directory struct {
	certsDir string
	path     string // "" when there is none, or what it says does not count
	hostsconf.Resolution
	dropped string // why this release skips its hosts.toml
}

// find looks a registry up in the directories of config_path: the first that
// has anything for it counts, as in containerd's CRI. The error is one with
// which containerd fails the pull.
func (n Node) find(registry string) (directory, error) {
	var d directory
	for _, certsDir := range n.CertsDirs {
		d.certsDir = certsDir
		var err error
		d.Resolution, err = hostsconf.Lookup(certsDir, registry)
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
		if d.dropped = n.drops(d.path); d.dropped != "" {
			d.path, err = "", nil
		}
		return d, err
	}
	return d, nil
}

// hosts gives containerd's own hosts for a registry. update is done to each
// client before it is used.
func (d directory) hosts(registry string, update dockerconfig.UpdateClientFunc) ([]docker.RegistryHost, error) {
	return dockerconfig.ConfigureHosts(quiet(context.Background()), dockerconfig.HostOptions{
		HostDir:      func(string) (string, error) { return d.path, nil },
		UpdateClient: update,
	})(registry)
}

// quiet keeps containerd's packages from printing.
func quiet(ctx context.Context) context.Context {
	logger := logrus.New()
	logger.SetOutput(io.Discard)
	return log.WithLogger(ctx, logrus.NewEntry(logger))
}
