package trace

import (
	"errors"
	"fmt"

	"github.com/containerd/containerd/v2/core/remotes/docker"

	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/hostsconf"
	"github.com/berth-registry/berth/internal/realm"
	"github.com/berth-registry/berth/node/desired"
)

// checkRealm returns an error if the login for a host must not be sent to a token server.
func (t *Tracer) checkRealm(h docker.RegistryHost, server string) error {
	u := hostsconf.URL{Scheme: h.Scheme, Host: h.Host, Path: h.Path, OverridePath: true}
	if t.CheckRealm == nil {
		return desired.CheckRealm(&config.Config{}, nil, u, server)
	}
	return t.CheckRealm(u, server)
}

// tokenServer completes h, the view of raw, if it named a token server: which login that server
// gets. If the server must not have a login that there is for the host, a note says what to do.
func (t *Tracer) tokenServer(r *Report, h *Host, raw docker.RegistryHost) {
	server, err := realm.Parse(h.TokenServer)
	if err != nil {
		return
	}
	refused := t.checkRealm(raw, server)
	c := h.Credential
	switch {
	case h.passed && (c.Channel != "header" || !t.Node.headerToRealm()):
		h.TokenLogin = "the login that kubelet passes"
	case c.Channel != "header":
		h.TokenLogin = "no login"
	case t.Node.Docker != nil:
		h.TokenLogin = "no login: Docker requests tokens without the header"
	case !t.Node.headerToRealm():
		h.TokenLogin = fmt.Sprintf("no login: containerd %s requests tokens without the header", t.Node.Release)
	case t.Node.Release.IsZero():
		h.TokenLogin = "the login in the header, from containerd 2.1 on"
	default:
		h.TokenLogin = "the login in the header"
	}
	if refused == nil || c.Channel == "none" && c.Rule == "" {
		return
	}
	note := Note{ID: "token-server", Text: fmt.Sprintf("%s names the token server %v", name(*h), refused)}
	if untrusted := (*desired.RealmError)(nil); errors.As(refused, &untrusted) {
		note.Remedy = untrusted.Remedy()
	}
	r.Notes = append(r.Notes, note)
}
