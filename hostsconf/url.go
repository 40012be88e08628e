package hostsconf

import (
	"errors"
	"fmt"
	"strings"

	"github.com/berth-registry/berth/internal/dockerhub"
	"github.com/berth-registry/berth/internal/hostport"
)

// URL is the address of a registry as hosts.toml holds it.
type URL struct {
	Scheme string // "http" or "https"
	Host   string // host[:port] in lower case
	Path   string // "" or "/…" without a trailing slash
	// OverridePath is containerd's override_path: Path is used unchanged, without /v2 appended.
	OverridePath bool
}

// ParseURL parses an address with or without a scheme.
//
// The default scheme is https, and http for loopback (localhost, 127.0.0.0/8, [::1]). A path that
// ends in /v2 is an API root. A path that starts with /v2/ is taken literally. Any other path is a
// prefix of repositories: https://h/team becomes https://h/v2/team with OverridePath. With
// overridePath, any path is taken literally.
//
// Errors give only the reason; the caller adds the location and the value.
func ParseURL(written string, overridePath bool) (URL, error) {
	scheme, rest, hasScheme := strings.Cut(written, "://")
	if !hasScheme {
		scheme, rest = "", written
	}
	if i := strings.IndexAny(rest, "?#"); i >= 0 {
		what := map[byte]string{'?': "a query", '#': "a fragment"}[rest[i]]
		return URL{}, fmt.Errorf("must not have %s (%q)", what, rest[i:i+1])
	}
	authority, path, _ := strings.Cut(rest, "/")
	if authority == "" {
		return URL{}, errors.New("has no host; write https://host[:port][/path]")
	}
	if strings.Contains(authority, "@") {
		return URL{}, errors.New("must not contain a login; write it under registries")
	}
	host, err := hostport.Parse(authority)
	if err != nil {
		return URL{}, fmt.Errorf("host %w", err)
	}
	u := URL{Scheme: strings.ToLower(scheme), Host: host}
	switch {
	case !hasScheme:
		u.Scheme = hostport.Scheme(hostport.IsLoopback(host))
	case u.Scheme != "http" && u.Scheme != "https":
		return URL{}, errors.New("scheme must be http or https")
	}
	path = strings.TrimRight(path, "/")
	if path != "" {
		if err := checkPath(path); err != nil {
			return URL{}, err
		}
		path = "/" + path
	}
	u.Path = path
	switch {
	case overridePath:
		u.OverridePath = true
	case path == "" || strings.HasSuffix(path, "/v2"):
	case strings.HasPrefix(path, "/v2/"):
		u.OverridePath = true
	default:
		u.Path = "/v2" + path
		u.OverridePath = true
	}
	return u, nil
}

// ParseUpstream parses the name of an upstream: host[:port] as in image names, or "*". It returns
// the name in lower case.
func ParseUpstream(written string) (string, error) {
	if written == Default {
		return written, nil
	}
	if strings.Contains(written, "://") {
		return "", errors.New("must be host[:port] without a scheme, as in image names")
	}
	name, err := hostport.Parse(written)
	if err != nil {
		return "", err
	}
	if name != dockerhub.Name && hostport.Port(name) == "" && dockerhub.Is(name) {
		return "", errors.New("containerd looks Docker Hub up as docker.io; write docker.io")
	}
	return name, nil
}

// String returns the form used in hosts.toml.
func (u URL) String() string { return u.Scheme + "://" + u.Host + u.Path }

// APIPath returns the path below which containerd sends requests, by the rule of its own reader
// (core/remotes/docker/config, parseHostConfig).
func (u URL) APIPath() string {
	if u.OverridePath || strings.HasSuffix(u.Path, "/v2") {
		return u.Path
	}
	return u.Path + "/v2"
}

// RepositoryPath returns the part between the host and the repository in an image name that uses
// this address: "" for a whole host, "hub" for https://h/v2/hub, "api/docker" for
// https://h/api/docker/v2.
func (u URL) RepositoryPath() string {
	path := strings.TrimSuffix(u.Path, "/v2")
	path = strings.TrimPrefix(path, "/v2/")
	return strings.TrimPrefix(path, "/")
}

// UpstreamURL returns the address of the registry that image names call upstream, with http if
// plainHTTP is set.
func UpstreamURL(upstream string, plainHTTP bool) URL {
	if host := dockerhub.Host(upstream); host != upstream {
		return URL{Scheme: "https", Host: host}
	}
	return URL{Scheme: hostport.Scheme(plainHTTP), Host: upstream}
}

func checkPath(path string) error {
	for segment := range strings.SplitSeq(path, "/") {
		switch segment {
		case "":
			return errors.New("path must not have two slashes side by side")
		case ".", "..":
			return errors.New(`path must not have "." or ".." in it`)
		}
	}
	for _, c := range []byte(path) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		case strings.IndexByte("/-._~+=", c) >= 0:
		case c == '%':
			return errors.New("path must not contain percent-encoding")
		default:
			return fmt.Errorf("path must not contain %q", string(rune(c)))
		}
	}
	return nil
}
