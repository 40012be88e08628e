package desired

import (
	"slices"
	"strings"

	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/credprovider"
	"github.com/berth-registry/berth/credprovider/ecr"
	"github.com/berth-registry/berth/hostsconf"
	"github.com/berth-registry/berth/internal/hostport"
	"github.com/berth-registry/berth/internal/redact"
)

// logins are those of the config, with the answers of credential helpers.
func (in Inputs) logins(cfg *config.Config) credprovider.Logins {
	registries, docker := cfg.Logins()
	return credprovider.NewLogins(in.HelperLogins.FillAll(registries), docker)
}

// Login returns the login for a whole host, that of its credential helper included.
func (d *State) Login(host string) (credprovider.Login, bool) { return d.logins.For(host, "https", "") }

// access is a host's login.
type access struct {
	header      redact.Secret // in hosts.toml; zero for none
	probeHeader redact.Secret // what the prober sends; zero if there is nothing to learn
	channel     Channel
}

// authorization returns the header for all repositories below a path of a host, if one login is
// right for all of them. If a login exists but cannot be used, a notice says why.
func (d *State) authorization(u hostsconf.URL, name, path, subject string, allowPlain bool) access {
	login, found := d.logins.For(name, u.Scheme, path)
	if below := d.logins.Below(name, u.Scheme, path); len(below) > 0 {
		names := make([]string, len(below))
		for i, l := range below {
			names[i] = l.Name()
		}
		d.notice(subject, "no login is written for %s: %s has its own login, and a header is sent for the whole host; "+
			"kubelet's credential provider passes these logins", u, strings.Join(names, ", "))
		return access{}
	}
	switch {
	case !found:
		header := d.ecrHeader(u, subject, allowPlain)
		if header.IsZero() {
			return access{}
		}
		return d.headerAccess(u, "the ECR token", subject, config.AuthAuto, header)
	case login.Username == credprovider.TokenUser:
		d.notice(subject, "the identity token of %s is not written for %s: containerd gets one neither from hosts.toml nor from kubelet; "+
			"write username and passwordFile of an access token or a robot account under registries", login.Name(), u)
		return access{}
	case login.Missing():
		d.notice(subject, "the login of %s is not written for %s: its credential helper %s has given none yet", login.Name(), u, login.Helper)
		return access{}
	case login.Token:
		c := d.channel(u, config.AuthToken)
		if name != subject {
			d.notice(subject, "the login of %s is not written for %s: %s", login.Name(), u, c.Reason())
		}
		return access{channel: c}
	case hostport.Exposed(u.Scheme, u.Host) && !allowPlain:
		d.notice(subject, "the login of %s is not sent to %s over plain http; if it must be, set allowPlainHTTPCredentials: true in its entry",
			login.Name(), u)
		return access{}
	}
	auth := config.AuthAuto
	if d.authBasic[login.Name()] {
		auth = config.AuthBasic
	}
	header := hostsconf.BasicAuthorization(login.Username, login.Password)
	if login.Bearer {
		header = hostsconf.BearerAuthorization(login.Password)
		if !d.in.Readers.askTokenServer() {
			// The header goes to the registry alone, which takes the token itself.
			auth = config.AuthBasic
		}
	}
	return d.headerAccess(u, "the login of "+login.Name(), subject, auth, header)
}

// askTokenServer reports whether some reader sends a header on to the token server that its host
// names.
func (r Readers) askTokenServer() bool {
	some, _ := r.toTokenServer()
	return some && r.Docker == nil
}

// headerAccess decides whether hosts.toml carries a header for u; what names the login in notices.
func (d *State) headerAccess(u hostsconf.URL, what, subject string, auth config.Auth, header redact.Secret) access {
	a := access{channel: d.channel(u, auth)}
	if auth != config.AuthBasic {
		a.probeHeader = header
	}
	switch c := a.channel; {
	case !c.Header:
		d.notice(subject, "%s is not written for %s: %s", what, u, c.Reason())
		return a
	case !c.Serves:
		d.HeaderUncertain[u] = true
		d.notice(subject, "%s is written for %s and may have no effect: %s; the release of containerd is unknown", what, u, c.Reason())
	case c.Unprobed && !slices.Contains(d.unprobed, u):
		d.unprobed = append(d.unprobed, u)
	}
	a.header = header
	return a
}

// ecrHeader returns the header of an ECR registry, zero for another registry or without a
// token. A registry for the pod's own role has none; its token is kept only for pods that may get the
// node's.
func (d *State) ecrHeader(u hostsconf.URL, subject string, allowPlain bool) redact.Secret {
	registry, ok := d.ecrNames.Parse(u.Host)
	if !ok {
		return redact.Secret{}
	}
	account := registry.ServiceAccount
	if account.OnMissingRole == ecr.RoleOrNone {
		return redact.Secret{}
	}
	if hostport.Exposed(u.Scheme, u.Host) && !allowPlain {
		d.notice(subject, "no ECR token is sent to %s over plain http; use https", u)
		return redact.Secret{}
	}
	if !d.ecrHosts[registry.Host] {
		d.ecrHosts[registry.Host] = true
		d.ECRRegistries = append(d.ECRRegistries, registry)
	}
	if account.On() {
		return redact.Secret{}
	}
	return d.in.Headers[registry.Host]
}

// LoginName names the login that an endpoint's header carries, "" for none.
func (d *State) LoginName(t Target) string {
	if _, ok := d.ecrNames.Parse(t.Host.URL.Host); ok {
		if t.Host.Authorization.IsZero() {
			return ""
		}
		return "ECR token"
	}
	if t.Host.Authorization.IsZero() && t.ProbeHeader.IsZero() {
		return ""
	}
	if l, ok := d.logins.For(t.Host.URL.Host, t.Host.URL.Scheme, t.Host.URL.RepositoryPath()); ok {
		if l.FromHelper() {
			return "login of " + l.Name() + " by " + l.Source()
		}
		return "login of " + strings.TrimSuffix(l.Name(), "/")
	}
	return ""
}
