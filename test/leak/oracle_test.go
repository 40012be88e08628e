package leak

import (
	"net"
	"net/url"
	"slices"
	"strings"

	"github.com/berth-registry/berth/test/fakes/fakeaws"
)

// place is the host and path of a request.
type place struct {
	scheme string
	host   string // host[:port] in lower case, without the port that the scheme implies
	path   string
}

func placeOf(u *url.URL) place {
	host := strings.ToLower(u.Host)
	switch u.Scheme {
	case "https":
		host = strings.TrimSuffix(host, ":443")
	case "http":
		host = strings.TrimSuffix(host, ":80")
	}
	return place{u.Scheme, host, u.Path}
}

func (p place) String() string { return p.scheme + "://" + p.host + p.path }

// name returns the host without its port.
func (p place) name() string {
	u := url.URL{Host: p.host}
	return u.Hostname()
}

// repository returns the repository, as an image name has it after the host, and false for requests
// that are not about a repository, such as those to a token endpoint.
func (p place) repository() (string, bool) {
	for _, what := range []string{"/manifests/", "/blobs/"} {
		if i := strings.LastIndex(p.path, what); i >= 0 {
			return strings.Trim(strings.Replace(p.path[:i], "/v2/", "/", 1), "/"), true
		}
	}
	return "", false
}

// secret is one value with its owners.
type secret struct {
	what  string // for people
	value string
	// owners are the logins that have this value; none if no registry may receive it.
	owners []login
}

// login is a username and password of the random config.
type login struct {
	host, path         string // host as images name it
	username, password string
	// plain means that the config allows plain http for it.
	plain bool
	// unchecked means auth: basic: the header is written whatever the registry names.
	unchecked bool
}

// mayHave reports whether the config means the login for this place: the host, over a channel that
// protects it, and a repository below the path by whole segments.
func (l login) mayHave(p place) bool {
	host := l.host
	if host == "docker.io" {
		host = "registry-1.docker.io"
	}
	if p.scheme == "https" {
		host = strings.TrimSuffix(host, ":443")
	}
	if p.host != host {
		return false
	}
	if p.scheme != "https" && !loopback(p) && !l.plain {
		return false
	}
	repository, is := p.repository()
	return l.path == "" || !is || strings.HasPrefix(repository+"/", l.path+"/")
}

func loopback(p place) bool {
	return p.name() == "localhost" || strings.HasPrefix(p.name(), "127.")
}

// scope is the scope of one ECR token: AWS issues it for a region, not for a registry.
// https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_GetAuthorizationToken.html
// Key is the id of the key that got it, if that is a registry's own, else "".
type scope struct{ service, region, key string }

// ecrRegistry is one registry of ECR; it may have several names.
type ecrRegistry struct{ service, region, account string }

// ecrHosts are the names of ECR registries in this test, listed and not recognised, so that the
// test does not use the code that it tests. Ports do not matter: a name belongs to AWS on every
// port.
func ecrHosts() map[string]ecrRegistry {
	return map[string]ecrRegistry{
		"111122223333.dkr.ecr.us-east-1.amazonaws.com":      {"ecr", "us-east-1", "111122223333"},
		"444455556666.dkr.ecr.us-east-1.amazonaws.com":      {"ecr", "us-east-1", "444455556666"},
		"111122223333.dkr.ecr.eu-west-1.amazonaws.com":      {"ecr", "eu-west-1", "111122223333"},
		"111122223333.dkr.ecr-fips.us-west-2.amazonaws.com": {"ecr", "us-west-2", "111122223333"},
		"111122223333.dkr-ecr.us-east-1.on.aws":             {"ecr", "us-east-1", "111122223333"},
		"111122223333.dkr.ecr.cn-north-1.amazonaws.com.cn":  {"ecr", "cn-north-1", "111122223333"},
		"public.ecr.aws": {"ecr-public", "us-east-1", ""},
	}
}

// nearMisses look like hosts that own a secret, and do not own one.
func nearMisses() []string {
	return []string{
		"111122223333.dkr.ecr.us-east-1.amazonaws.com.evil.example",
		"111122223333.dkr.ecr.us-east-1.amazonaws.com.cn",
		"111122223333.dkr.ecr.us-east-1.amazonaws.org",
		"11112222333.dkr.ecr.us-east-1.amazonaws.com",
		"x111122223333.dkr.ecr.us-east-1.amazonaws.com",
		"evil.111122223333.dkr.ecr.us-east-1.amazonaws.com",
		"111122223333.dkr-ecr.us-east-1.amazonaws.com",
		"111122223333.dkr.ecr.us-east-1.on.aws",
		"dkr.ecr.us-east-1.amazonaws.com",
		"public.ecr.aws.evil.example",
		"harbor.corp.evil.example",
		"evilharbor.corp",
		"harbor.corp:9443",
		"docker.io.evil.example",
		"quay.io.evil.example",
	}
}

// ecrMayHave reports whether a place may receive a token of scope s.
func (r *round) ecrMayHave(s scope, p place) bool {
	if p.scheme != "https" && !loopback(p) && !r.plainHosts[p.host] {
		return false
	}
	registry, ok := r.ecrNames[p.host]
	if !ok {
		registry, ok = ecrHosts()[p.name()]
	}
	return ok && s == scope{registry.service, registry.region, r.ownKeys[registry]}
}

// scopeOf returns the scope of a token that the fake issued.
func (r *round) scopeOf(issued fakeaws.Issued) scope {
	s := scope{service: string(issued.Service), region: issued.Region}
	for _, id := range r.ownKeys {
		if id == issued.KeyID {
			s.key = id
		}
	}
	return s
}

// A verdict says whether a secret at a place is a leak.
//
// The three handovers are the only cases that do not count as leaks. Each requires that the place
// which led containerd there may have that secret itself: it could have passed the secret on
// without containerd. Neither the provider nor hosts.toml can prevent them:
//
//   - realm: a registry names a token realm, and containerd logs in there, with kubelet's
//     credential or (since 2.1) with the header. Docker Hub, GHCR and Quay work that way:
//     auth.docker.io is such a realm. A header is written by Berth, which has probed the registry:
//     a login that kubelet has not passed counts as leaked at a realm for which headerMayGo is
//     false.
//   - sameName: a registry redirects to its own host name on another port or scheme, or to a
//     subdomain, where Go's client keeps the header. Only a prober that has seen the redirect can
//     refuse the header channel.
//   - asked: a registry redirects to another host, and that one asks for a login. containerd
//     sends kubelet's credential to every host that asks, because kubelet names no host. (A
//     redirect alone does not carry it.)
//
// The same three are leaks if the place that led there may not have the secret.
type verdict string

const (
	meant    verdict = "meant"
	leaked   verdict = "leaked"
	realm    verdict = "realm named by the owner"
	sameName verdict = "redirect by the owner within its name"
	asked    verdict = "redirect by the owner to a host that asks"
)

// lead is how containerd was led to a place: by which place, and by which means.
type lead struct {
	from place // the place that containerd asked of itself
	how  string
}

// The means.
const (
	byRealm    = "realm"
	byRedirect = "redirect"
	// byRedirectRealm: redirected to a host that named a realm.
	byRedirectRealm = "redirect-realm"
)

// verdictOf returns the verdict. led is nil if containerd asked p without a lead; challenged means that
// p has asked for a login in this pull.
func verdictOf(may func(place) bool, p place, led *lead, challenged bool) verdict {
	switch {
	case may(p):
		return meant
	case led == nil || !may(led.from):
		return leaked
	case led.how == byRealm:
		return realm
	case led.how == byRedirect && within(p.name(), led.from.name()):
		return sameName
	case led.how == byRedirectRealm, led.how == byRedirect && challenged:
		return asked
	}
	return leaked
}

func within(name, domain string) bool {
	return name == domain || strings.HasSuffix(name, "."+domain)
}

// headerMayGo reports whether the header with a secret may go to the token server p that the registry
// at from names. Allowed are the registry's own name, its domain, and what the config lists. Public
// registries are trusted by name: apply does not ask Docker Hub, GHCR, Quay and ECR.
func (r *round) headerMayGo(s secret, from, p place) bool {
	for _, l := range s.owners {
		if l.unchecked {
			return true
		}
	}
	_, aws := ecrHosts()[from.name()]
	switch {
	case aws, from.scheme == "https" && slices.Contains([]string{"registry-1.docker.io", "quay.io", "ghcr.io"}, from.host):
		return true
	case p.scheme != "https" && (from.scheme == "https" || p.name() != from.name()):
		return false
	}
	return p.name() == from.name() || sameDomain(p.name(), from.name()) || r.realms[from.host][p.host]
}

// sameDomain reports whether two names have the same last two labels. In this test no registry with
// a login is in a domain that others register below, such as co.uk.
func sameDomain(a, b string) bool {
	domain := func(name string) string {
		labels := strings.Split(name, ".")
		if net.ParseIP(name) != nil || len(labels) < 2 {
			return name
		}
		return strings.Join(labels[len(labels)-2:], ".")
	}
	return domain(a) == domain(b)
}
