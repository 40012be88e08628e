package config

import (
	"errors"
	"strings"

	"github.com/berth-registry/berth/config/syntax"
	"github.com/berth-registry/berth/hostsconf"
	"github.com/berth-registry/berth/internal/dockerhub"
	"github.com/berth-registry/berth/internal/hostport"
	"github.com/berth-registry/berth/internal/redact"
)

// adviceError says what is wrong with an address and what to write instead.
type adviceError struct {
	fault string
	write string // corrected address; may still contain a secret
	also  string // appended to write in the message
}

func (e *adviceError) Error() string { return e.fault }

// badName reports a registry name that cannot be used.
func (c *checker) badName(s *location, written string, err error) {
	c.reject(s, written, "%s", nameFault(written, err))
}

// nameFault describes the fault of a registry name and says what to write.
func nameFault(written string, err error) string {
	if _, rest := syntax.SchemeTypo(written); rest != "" {
		err = &adviceError{fault: "must not have a scheme", write: strings.TrimRight(rest, "/")}
	}
	return fault(written, err)
}

// badURL reports an address that cannot be used.
func (c *checker) badURL(s *location, written string, err error) {
	if corrected := syntax.WithScheme(written); corrected != written {
		err = &adviceError{fault: `must have "://" behind the scheme`, write: corrected}
	}
	c.reject(s, written, "%s", fault(written, err))
}

// fault says why an address is refused. Text before an @ may be a password and text after a ? may
// be a token, so the message repeats no part of such an address.
func fault(written string, err error) string {
	var advice *adviceError
	switch {
	case strings.Contains(written, "@"):
		return "must not contain a login (user:password@); write username and passwordFile under registries"
	case strings.ContainsAny(written, "?#"):
		return "must not have a query (?) or a fragment (#)"
	case errors.As(err, &advice) && advice.write != "" && redact.Address(advice.write) == advice.write:
		return advice.fault + "; write " + advice.write + advice.also
	}
	return err.Error()
}

// upstream checks the name of an upstream and returns its normal form.
func (c *checker) upstream(s *location, written string) (string, bool) {
	name, err := hostsconf.ParseUpstream(written)
	if err != nil {
		_, rest, hasScheme := strings.Cut(written, "://")
		if !hasScheme {
			rest = written
		}
		host, _, hasPath := strings.Cut(rest, "/")
		if name, bad := hostsconf.ParseUpstream(host); bad == nil && (hasScheme || hasPath) {
			err = &adviceError{fault: err.Error(), write: name}
		}
		c.badName(s, written, err)
		return "", false
	}
	if name != hostsconf.Default && name != "localhost" && !strings.ContainsAny(name, ".:") {
		c.warn(s, "is never a registry in an image name: without a dot or a port it is a part of a docker.io name")
	}
	c.website(s, name, dockerhub.Name)
	return name, true
}

// website warns about Docker's web sites, which are not registries.
func (c *checker) website(s *location, host, write string) {
	if dockerhub.IsWebsite(host) {
		c.warn(s, "%s is a web site, not a registry; write %s for Docker Hub", host, write)
	}
}

// mirrorHost warns about an endpoint that is not a mirror: a web site, or the upstream itself if
// containerd asks it next in any case. last says that no other endpoint follows.
func (c *checker) mirrorHost(s *location, u hostsconf.URL, m *Mirror, last bool) {
	const hub = "https://" + dockerhub.Server
	if u.Host == dockerhub.Name {
		c.warn(s, "docker.io is a web site, not a registry; write %s for Docker Hub", hub)
		return
	}
	c.website(s, u.Host, hub)
	if !last || !m.UpstreamFallback || c.catchAll {
		return // it comes first, or alone, or keeps the upstream out of the "*" mirror
	}
	host, upstream := hostport.TrimDefaultPort(u.Host, u.Scheme), hostport.TrimDefaultPort(m.Upstream, u.Scheme)
	if dockerhub.Canonical(host) == upstream && u.RepositoryPath() == "" {
		c.warn(s, "is the upstream itself, which containerd asks after the mirrors in any case; remove it")
	}
}
