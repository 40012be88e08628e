package agent

import (
	"slices"

	"github.com/berth-registry/berth/agent/status"
	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/credprovider"
	"github.com/berth-registry/berth/internal/dockerhub"
	"github.com/berth-registry/berth/node/desired"
)

// usesDockerHub reports whether a node with this config may pull from Docker Hub itself: it is
// the fallback of a mirror, or there is a login for it and no mirror.
func usesDockerHub(cfg *config.Config, login bool) bool {
	if cfg.Health.Mode == config.HealthOff {
		return false
	}
	all := cfg.AllMirrors()
	if i := slices.IndexFunc(all, func(m config.Mirror) bool { return m.Upstream == dockerhub.Name }); i >= 0 {
		return all[i].UpstreamFallback
	}
	return login
}

// setHub sets whether the prober asks Docker Hub how many pulls are left.
func (a *Agent) setHub(cfg *config.Config, state *desired.State) {
	login, ok := state.Login(dockerhub.Name)
	if !login.IsPassword() {
		login = credprovider.Login{}
	}
	a.prober.SetHub(usesDockerHub(cfg, ok), login.Username, login.Password)
}

// hub returns Docker Hub's answer, nil if the prober does not ask.
func (a *Agent) hub() *status.DockerHub {
	h, on := a.prober.Hub()
	if !on {
		return nil
	}
	return &status.DockerHub{
		Limit: h.Total, Remaining: h.Remaining, Window: status.Seconds(h.Window), Time: h.Time, Error: h.Err,
	}
}
