package leak

import (
	"net/url"
	"strings"
)

// place is where a request arrived.
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

// name is the host without its port.
func (p place) name() string {
	u := url.URL{Host: p.host}
	return u.Hostname()
}

// repository is what an image name would say behind the host, and false for
// whatever is not about a repository, such as a token endpoint.
func (p place) repository() (string, bool) {
	for _, what := range []string{"/manifests/", "/blobs/"} {
		if i := strings.LastIndex(p.path, what); i >= 0 {
			return strings.Trim(strings.Replace(p.path[:i], "/v2/", "/", 1), "/"), true
		}
	}
	return "", false
}

// secret is one value and who may see it.
type secret struct {
	what  string // for people
	value string
	// owners are the logins that have this value; none for what no registry
	// may see at all.
	owners []login
}

// login is a username and password as the config was drawn.
type login struct {
	host, path         string // host as images name it
	username, password string
	// plain says that the config lets it go over plain http.
	plain bool
}

// mayHave says whether the config means the login for this place: the host,
// over a channel that protects it, and a repository below the path by whole
// segments.
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

// scope is what one ECR token opens: AWS issues it for a region, not for a
// registry.
// https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_GetAuthorizationToken.html
type scope struct{ service, region string }

// ecrHosts are the names of ECR registries in this trial, spelt out rather
// than recognised, so that nothing is tested against itself. Ports do not
// matter: a name belongs to AWS on every port.
func ecrHosts() map[string]scope {
	return map[string]scope{
		"111122223333.dkr.ecr.us-east-1.amazonaws.com":      {"ecr", "us-east-1"},
		"444455556666.dkr.ecr.us-east-1.amazonaws.com":      {"ecr", "us-east-1"},
		"111122223333.dkr.ecr.eu-west-1.amazonaws.com":      {"ecr", "eu-west-1"},
		"111122223333.dkr.ecr-fips.us-west-2.amazonaws.com": {"ecr", "us-west-2"},
		"111122223333.dkr-ecr.us-east-1.on.aws":             {"ecr", "us-east-1"},
		"111122223333.dkr.ecr.cn-north-1.amazonaws.com.cn":  {"ecr", "cn-north-1"},
		"public.ecr.aws": {"ecr-public", "us-east-1"},
	}
}

// nearMisses look like hosts that own a secret, and do not.
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

// ecrMayHave says whether a token of scope s may be seen at p.
func (r *round) ecrMayHave(s scope, p place) bool {
	if p.scheme != "https" && !loopback(p) && !r.plainHosts[p.host] {
		return false
	}
	if own, ok := r.ecrNames[p.host]; ok {
		return own == s
	}
	own, ok := ecrHosts()[p.name()]
	return ok && own == s
}

// A verdict is what it means that a secret was seen at a place.
//
// The three handovers are the only cases that do not count as leaks, and each
// requires that the place which led containerd there may have that very secret
// itself: it could have passed it on without containerd's help. None of them
// can be decided by the provider or by hosts.toml:
//
//   - realm: a registry names a token realm, and containerd logs in there, with
//     kubelet's credential or (since 2.1) with the header. That is how Docker
//     Hub, GHCR and Quay work: auth.docker.io is such a realm.
//   - sameName: a registry redirects to its own host name on another port or
//     scheme, or to a subdomain, where Go's client keeps the header. Only a
//     prober that has seen the redirect can refuse the header channel.
//   - asked: a registry redirects to another host, and that one asks for a
//     login. containerd offers kubelet's credential to whoever asks, because
//     kubelet names no host. (A redirect alone carries nothing there.)
//
// The same three, led by a place that may not have the secret, are leaks.
type verdict string

const (
	meant    verdict = "meant"
	leaked   verdict = "leaked"
	realm    verdict = "realm named by the owner"
	sameName verdict = "redirect by the owner within its name"
	asked    verdict = "redirect by the owner to a host that asks"
)

// lead is how containerd was led to a place: by whom, and by what means.
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

// judge decides. led is nil when containerd asked p of itself; challenged says
// that p has asked for a login in this pull.
func judge(may func(place) bool, p place, led *lead, challenged bool) verdict {
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
