package credprovider

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/berth-registry/berth/credprovider/ecr"
	"github.com/berth-registry/berth/internal/dockerhub"
	"github.com/berth-registry/berth/internal/hostport"
)

// notServedError is a reason why a client goes on without a credential. For [errors.Is] it is
// [ErrNotServed].
type notServedError struct{ error }

// Is implements the method that [errors.Is] asks for.
func (notServedError) Is(target error) bool { return target == ErrNotServed }

func notServed(format string, args ...any) error { return notServedError{fmt.Errorf(format, args...)} }

// ServerCredential returns the credential for one server, which is host[:port][/path], or a URL of
// it, as the clients of docker's credential helpers name it. Such a client sends it to that host
// alone, so no hosts.toml is compared. A login for a path is given only for a path that it covers.
//
// The error is [ErrNotServed], or another one that is it for [errors.Is] and says why the client has
// to go on without; or it is that of [Tokens.Get]. It quotes nothing of server but a valid host.
func (p *Provider) ServerCredential(ctx context.Context, server string) (Credential, error) {
	scheme, host, path, err := parseServer(server)
	if err != nil {
		return Credential{}, err
	}
	owned := p.Rules.lookup().of(Host{Host: host}, path)
	switch {
	case owned.empty():
		return Credential{}, ErrNotServed
	case hostport.Exposed(scheme, host):
		return Credential{}, notServed("credential of %s withheld: its URL begins with http://; use https", host)
	case p.Rules.insecure(host):
		return Credential{}, notServed("credential of %s withheld: it is asked over plain http; use https, or set allowPlainHTTPCredentials", host)
	case owned.login != nil && owned.login.Bearer:
		return Credential{}, notServed("the registrytoken of %s cannot be passed to docker; run docker login for it", host)
	case owned.login != nil:
		var c Credential
		return c, c.fill(*owned.login, p.HelperErrors)
	}
	r := *owned.ecr
	if r.ServiceAccount.OnMissingRole == ecr.RoleOrNone {
		return Credential{}, notServed("%s is for the roles of pods; to give the token of this node, write onMissingRole: node in ecr.serviceAccount", host)
	}
	t, err := p.Tokens.Get(ctx, r)
	if err != nil && r.Public {
		err = notServedError{err} // pulls from there need no credential
	}
	if err != nil {
		return Credential{}, err
	}
	return Credential{Username: t.Username, Password: t.Password, Expires: t.Expires, Rule: ecrRule(r) + ", " + t.Source}, nil
}

// parseServer splits the name of a server. The root of the API, as in https://index.docker.io/v1/,
// is no path.
func parseServer(server string) (scheme, host, path string, err error) {
	scheme, rest, ok := strings.Cut(server, "://")
	if scheme = strings.ToLower(scheme); !ok {
		scheme, rest = "https", server
	}
	if scheme != "https" && scheme != "http" {
		return "", "", "", notServed("the scheme of the server URL must be https, http or missing")
	}
	host, path = SplitHost(rest)
	if host, err = hostport.Parse(hostport.TrimDot(host)); err != nil {
		return "", "", "", notServed("the host of the server URL %w", err)
	}
	if path == "v1" || path == "v2" {
		path = ""
	}
	if dockerhub.Is(host) && strings.HasPrefix(path, "v1/") {
		// docker keeps tokens of its own login under v1/access-token and v1/refresh-token, and sends
		// them to another server.
		return "", "", "", ErrNotServed
	}
	return scheme, host, path, nil
}

// insecure reports whether some hosts.toml has host as one that is asked over plain http without
// permission for a login.
func (r Rules) insecure(host string) bool {
	return slices.ContainsFunc(r.Directories, func(d Directory) bool {
		return slices.ContainsFunc(d.Hosts, func(h Host) bool { return h.Insecure && SameHost(h.Host, host, "http") })
	})
}
