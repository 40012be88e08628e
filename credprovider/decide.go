package credprovider

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/berth-registry/berth/credprovider/ecr"
)

// decide is [Rules.Decide] with a check that the rules still describe the node. If they do not, that
// is the error, even if the rules withhold the credential for another reason.
func (p *Provider) decide(image string) (Decision, error) {
	decision, err := p.Rules.Decide(image)
	withheld, ok := errors.AsType[*WithheldError](err)
	if decision.owner == "" || ok && withheld.unreadable() {
		return decision, err // no host has a credential, or apply cannot read the file either
	}
	if changed := p.checkUnchanged(decision); changed != nil {
		return decision, changed
	}
	return decision, err
}

// Check returns the error that [Provider.Credential] would return for an image before it looks for
// a token.
func (p *Provider) Check(image string) error {
	_, err := p.decide(image)
	return err
}

// Decision says which credential an image gets, before a token is fetched.
type Decision struct {
	Image Image
	// Hosts are the hosts that containerd asks for it, in order.
	Hosts []Host
	// Directory is the upstream of the directory that wins: a registry, "*",
	// or "" when there is none.
	Directory string
	// One of the two is set: a login, or an ECR registry.
	Login *Login
	ECR   *ecr.Registry

	perImage bool
	// owner is the host whose credential was chosen, also when it is withheld; "" without one.
	owner string
}

// Decide decides which credential an image gets, by the rules alone: it reads no file and opens no
// connection. The error is [ErrNotServed], a *[WithheldError], or about the name.
func (r Rules) Decide(image string) (Decision, error) {
	img, err := ParseImage(image)
	if err != nil {
		return Decision{}, err
	}
	d := Decision{Image: img}
	d.Directory, d.Hosts = r.hosts(img)
	return d, r.lookup().choose(&d)
}

// hosts lists the hosts that containerd asks for an image.
func (r Rules) hosts(img Image) (directory string, hosts []Host) {
	d := r.directory(img.Registry)
	return d.Upstream, d.all(Host{Host: img.Registry})
}

// directory returns the directory that wins for a registry, the zero value when there is none.
func (r Rules) directory(registry string) Directory {
	var catchAll Directory
	for _, d := range r.Directories {
		switch d.Upstream {
		case registry:
			return d
		case "*":
			catchAll = d
		}
	}
	return catchAll
}

func (d Directory) all(upstream Host) []Host {
	hosts := append([]Host(nil), d.Hosts...)
	if d.AndUpstream || len(hosts) == 0 {
		hosts = append(hosts, upstream)
	}
	return hosts
}

// lookup finds the credential that a host may have.
type lookup struct {
	logins Logins
	names  ecr.Names
}

func (r Rules) lookup() lookup {
	return lookup{logins: NewLogins(r.Registries, r.DockerConfig), names: r.ECRNames}
}

// credentialFor is the credential that a host may have.
type credentialFor struct {
	login *Login
	ecr   *ecr.Registry
}

func (c credentialFor) empty() bool { return c.login == nil && c.ecr == nil }

// same reports whether two hosts may have the same secret: the same login is configured for both,
// or both are names of one ECR registry.
func (c credentialFor) same(p credentialFor) bool {
	if c.login != nil && p.login != nil {
		if c.login.Missing() || p.login.Missing() {
			return c.login.Name() == p.login.Name()
		}
		return c.login.Username == p.login.Username && c.login.Password == p.login.Password
	}
	return c.ecr != nil && p.ecr != nil && c.ecr.Same(*p.ecr)
}

func (l lookup) of(h Host, repository string) credentialFor {
	path := strings.Trim(h.Path+"/"+repository, "/")
	if login, ok := l.logins.For(h.Host, "https", path); ok {
		return credentialFor{login: &login}
	}
	if r, ok := l.names.Parse(h.Host); ok {
		return credentialFor{ecr: &r}
	}
	return credentialFor{}
}

// choose sets the credential of d to the one that every host of d may have.
func (l lookup) choose(d *Decision) error {
	var all []credentialFor
	owner, missed := -1, false // missed: some host has a credential and no header with it
	for i, h := range d.Hosts {
		o := l.of(h, d.Image.Repository)
		all = append(all, o)
		if o.empty() || o.login != nil && !o.login.IsPassword() {
			continue
		}
		missed = missed || !h.Header
		if owner < 0 {
			owner = i
		}
	}
	if owner < 0 {
		return ErrNotServed
	}
	d.owner = d.Hosts[owner].Host
	for i, h := range d.Hosts {
		if !h.Insecure && all[owner].same(all[i]) {
			continue
		}
		if !missed {
			d.owner = "" // the headers in hosts.toml suffice
			return ErrNotServed
		}
		return &WithheldError{
			Image: d.Image.Name, Registry: d.Image.Registry, Directory: d.Directory,
			Owner: d.owner, Other: h.Host, Insecure: h.Insecure,
		}
	}
	d.Login, d.ECR = all[owner].login, all[owner].ecr
	d.perImage = d.Login != nil && d.Login.Path != "" || l.divided(d.Hosts)
	return nil
}

// divided reports whether some paths below these hosts have a login of their own: then no answer is
// right for the whole registry.
func (l lookup) divided(hosts []Host) bool {
	for _, h := range hosts {
		if len(l.logins.Below(h.Host, "https", h.Path)) > 0 {
			return true
		}
	}
	return false
}

// given reports whether the decision holds a credential.
func (d Decision) given() bool { return d.Login != nil || d.ECR != nil }

// asksRegistry reports whether the registry of the image is one of the hosts that may have the
// credential.
func (d Decision) asksRegistry() bool {
	return slices.ContainsFunc(d.Hosts, func(h Host) bool {
		return h.Path == "" && !h.Insecure && SameHost(h.Host, d.Image.Registry, "https")
	})
}

// WithheldError means that a credential exists, but containerd would offer it to a host that must
// not have it, or the rules no longer describe the node.
type WithheldError struct {
	Image    string // without its tag
	Registry string // of the image
	// Directory is the upstream of the directory that wins, as in [Decision].
	Directory string
	Owner     string // the host that the credential is for
	Other     string // the host that must not have it; may be Owner, when Insecure
	// Insecure says that Other is asked over plain http.
	Insecure bool
	// Changed is the reason, with a remedy, why the rules no longer describe the node; Other is ""
	// then.
	Changed string
}

// Error implements error; the text ends with a remedy.
func (e *WithheldError) Error() string {
	what := fmt.Sprintf("credential of %s withheld for %s: ", e.Owner, e.Image)
	if e.Changed != "" {
		return what + e.Changed
	}
	if e.Insecure {
		return what + fmt.Sprintf("%s is asked over plain http; use https, or set allowPlainHTTPCredentials", e.Other)
	}
	return what + fmt.Sprintf("containerd would offer it to %s, too, which it is not meant for; %s", e.Other, e.remedy())
}

// unreadable reports whether the directory has a foreign hosts.toml that Berth cannot read: the
// rules then have a host in parentheses.
func (e *WithheldError) unreadable() bool { return strings.HasPrefix(e.Other, "(") }

// remedy returns the change of the config that helps. Naming a registry helps only where it is not
// named yet: it then gets a directory of its own, so "*" no longer wins.
func (e *WithheldError) remedy() string {
	switch {
	case e.unreadable():
		return fmt.Sprintf("fix or remove the hosts.toml of %s; Berth did not write it", e.Directory)
	case e.Directory == "*" && e.Owner == e.Registry:
		return fmt.Sprintf("name %s under registries, or set upstreamFallback: false", e.Owner)
	case e.Other == e.Registry:
		return fmt.Sprintf("set upstreamFallback: false for the upstream %q, so that it is no longer asked", e.Directory)
	case e.Owner == e.Registry:
		return fmt.Sprintf("set upstreamFallback: false if %s has the images itself, or remove it from the mirrors of %s", e.Other, e.Directory)
	}
	return fmt.Sprintf("give %s the same login under registries, or remove it from the mirrors of %q", e.Other, e.Directory)
}
