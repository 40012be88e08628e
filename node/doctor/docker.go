package doctor

import (
	"context"
	"fmt"
	"strings"

	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/internal/docs"
	"github.com/berth-registry/berth/node"
)

// docker reports which Docker Engine the node has, and whether it reads hosts.toml files. A node
// without one has no finding.
func (e *examination) docker(ctx context.Context) {
	const name = "docker"
	mode := config.DockerAuto
	if e.Config != nil {
		mode = e.Config.Docker.Mode
	}
	d, found, err := node.DiscoverDocker(ctx, e.Machine)
	switch {
	case err != nil:
		e.add(name, Warn, err.Error(), "run this as root")
		return
	case !found && mode == config.DockerOn:
		e.add(name, Warn, "docker.mode is on, and no Docker Engine is seen", "write docker: {mode: auto} in the config, or install Docker")
		return
	case !found:
		return
	}
	what := strings.TrimSpace("Docker " + d.Version)
	if d.ConfigError != nil {
		e.add(name, Fail, d.ConfigError.Error(), "dockerd does not start with it")
	}
	reads, why := d.Reads()
	switch {
	case mode == config.DockerOff:
		e.add(name, OK, what+": nothing is written for it, because docker.mode is off", "")
	case reads == node.Reads:
		e.add(name, OK, fmt.Sprintf("%s reads hosts.toml files (%s)", what, d.StoreFrom), "")
	case reads == node.DoesNot:
		e.add(name, Warn, fmt.Sprintf("%s: %s; of the config it uses nothing", what, why), d.Remedy())
	default:
		e.add(name, Warn, fmt.Sprintf("%s: whether it reads hosts.toml files is not known: %s", what, why), "start Docker, or run this where its socket is ("+d.Socket+")")
	}
	if reads == node.Reads && mode != config.DockerOff {
		e.dockerReads = true
		e.dockerSettings(name, d)
	}
}

// dockerSettings reports settings of Docker's own that change what it does with hosts.toml files.
func (e *examination) dockerSettings(name string, d node.Docker) {
	page := "see " + docs.URL("docker.md#dockers-own-settings")
	if len(d.Mirrors) > 0 {
		e.add(name, Warn, fmt.Sprintf("registry-mirrors of Docker (%s): asked first for images of Docker Hub where its directory names one host, which then has no login",
			strings.Join(d.Mirrors, ", ")), "write them under mirrors in the config and remove them from "+d.ConfigPath+"; "+page)
	}
	if len(d.Insecure) > 0 {
		e.add(name, Warn, fmt.Sprintf("insecure-registries of Docker (%s): where a directory names one of these alone, Docker may ask it over plain http, so it has no login",
			strings.Join(d.Insecure, ", ")), "write them under registries in the config (tls, plainHTTP) and remove them from "+d.ConfigPath+"; "+page)
	}
	if d.Unsettled != "" {
		e.add(name, Warn, "registry-mirrors and insecure-registries of Docker are not known: "+d.Unsettled, node.Restart(d.Unit, "Docker"))
	}
}
