package draft

import (
	"errors"
	"path"
	"regexp"
	"strings"

	"github.com/berth-registry/berth/credprovider/ecr"
	"github.com/berth-registry/berth/hostsconf"
	"github.com/berth-registry/berth/internal/dockerhub"
	"github.com/berth-registry/berth/internal/hostport"
)

// Address is a host or URL of a foreign format, split and not yet validated.
type Address struct {
	Scheme string // "" if there is none
	Host   string // host[:port] in lower case
	Path   string // "" or "/…", as written
	// Ignored names a part that none of the programs uses.
	Ignored string
}

// ParseAddress splits an address. Errors repeat no text that may be a login.
func ParseAddress(written string) (Address, error) {
	var a Address
	rest := strings.TrimSpace(written)
	if scheme, after, ok := strings.Cut(rest, "://"); ok {
		a.Scheme, rest = strings.ToLower(scheme), after
		if a.Scheme != "http" && a.Scheme != "https" {
			return a, errors.New("has a scheme other than http and https")
		}
	}
	if at := strings.IndexAny(rest, "?#"); at >= 0 {
		a.Ignored, rest = "a query or fragment", rest[:at]
	}
	authority, tail, slash := strings.Cut(rest, "/")
	if at := strings.LastIndexByte(authority, '@'); at >= 0 {
		a.Ignored, authority = "a login in the URL", authority[at+1:]
	}
	host, err := hostport.Parse(authority)
	if err != nil {
		return a, errors.New("has no usable host: it " + err.Error())
	}
	a.Host = host
	if slash {
		a.Path = "/" + tail
	}
	return a, nil
}

// NeedsTLS returns the reason why a plain http address is written with https, "" if it stays http.
// A RegistryConfig refuses to send these logins unencrypted.
func (a Address) NeedsTLS() string {
	switch {
	case a.Scheme != "http":
		return ""
	case IsECR(a.Host):
		return "Written with https instead of http: Berth logs in to ECR with a token of its " +
			"own, which does not cross the network unencrypted."
	case dockerhub.Is(a.Host):
		return "Written with https instead of http: that is how Docker Hub is asked, and its " +
			"login does not cross the network unencrypted."
	}
	return ""
}

// Plain reports whether a key is the host[:port] that the programs look up.
func (a Address) Plain() bool { return a.Scheme == "" && a.Path == "" && a.Ignored == "" }

// IsECR reports whether Berth takes a host for an ECR registry.
func IsECR(host string) bool {
	_, ok := ecr.ParseHost(host)
	return ok
}

// HostOnly returns the host[:port] of host[:port][/path].
func HostOnly(name string) string {
	host, _, _ := strings.Cut(name, "/")
	return host
}

// repositories matches a path to which a login can be limited.
var repositories = regexp.MustCompile(`^[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*$`)

// CheckName refuses a result of [Address.RegistryName] that no registries entry can have.
func CheckName(name string) error {
	_, p, ok := strings.Cut(name, "/")
	if !ok {
		return nil
	}
	if !repositories.MatchString(p) {
		return errors.New("has a path with more than letters, digits, dots, hyphens and " +
			"underscores in it")
	}
	return nil
}

// RegistryName returns the host[:port][/path] of a registry to log in to, with one name for Docker
// Hub.
func (a Address) RegistryName() string {
	p := strings.Trim(path.Clean("/"+a.Path), "/")
	if p == "v1" || p == "v2" {
		p = "" // the root of the API, as in https://index.docker.io/v1/
	}
	host := dockerhub.Canonical(a.Host)
	if p == "" {
		return host
	}
	return host + "/" + p
}

// LiteralURL converts a URL whose path is used literally, as in endpoints of k3s and containerd,
// to the form of a RegistryConfig. override says whether it needs overridePath: true.
func LiteralURL(
	scheme, host, literal string,
) (written string, override bool, u hostsconf.URL, err error) {
	host = dockerhub.Host(host)
	literal = path.Clean("/" + literal)
	written = scheme + "://" + host
	switch {
	case literal == "/" || literal == "/v2":
	case strings.HasPrefix(literal, "/v2/") || strings.HasSuffix(literal, "/v2"):
		written += literal
	default:
		written += literal
		override = true
	}
	u, err = hostsconf.ParseURL(written, override)
	return written, override, u, err
}

// PrefixURL returns the address of a registry with a path prefix of repositories, in the form that
// an image name starts with.
func PrefixURL(scheme, name string) (written string, u hostsconf.URL, err error) {
	host, prefix, _ := strings.Cut(name, "/")
	written = name
	if scheme == "http" {
		written = "http://" + name
	}
	if prefix == "v2" || strings.HasPrefix(prefix, "v2/") || strings.HasSuffix(prefix, "/v2") {
		// Without /v2 in front, ParseURL would take such a prefix for the root of the API.
		written = OrHTTPS(scheme) + "://" + host + "/v2/" + prefix
	}
	u, err = hostsconf.ParseURL(written, false)
	return written, u, err
}

// OrHTTPS returns scheme, or https if there is none.
func OrHTTPS(scheme string) string {
	if scheme == "" {
		return "https"
	}
	return scheme
}
