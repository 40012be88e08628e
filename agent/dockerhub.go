package agent

import (
	"slices"

	"github.com/berth-registry/berth/agent/status"
	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/credprovider"
)

const dockerHub = "docker.io"

// usesDockerHub reports whether a node with this config may pull from Docker
// Hub itself: because it is the upstream of a mirror and may be asked, or
// because there is a login for it and no mirror.
func usesDockerHub(cfg *config.Config, login bool) bool {
	if cfg.Health.Mode == config.HealthOff {
		return false
	}
	all := config.AllMirrors(cfg)
	if i := slices.IndexFunc(all, func(m config.Mirror) bool { return m.Upstream == dockerHub }); i >= 0 {
		return all[i].UpstreamFallback
	}
	return login
}

// setHub tells the prober whether to ask Docker Hub how many pulls are left.
func (a *Agent) setHub(cfg *config.Config) {
	login, ok := credprovider.NewLogins(config.Logins(cfg)).For(dockerHub, "https", "")
	a.prober.SetHub(usesDockerHub(cfg, ok), login.Username, login.Password)
}

// hub gives what Docker Hub said, nil when it is not asked.
func (a *Agent) hub() *status.DockerHub {
	h, on := a.prober.Hub()
	if !on {
		return nil
	}
	return &status.DockerHub{
		Limit: h.Total, Remaining: h.Remaining, Window: status.Seconds(h.Window), Time: h.Time, Error: h.Err,
	}
}
