package config

import (
	"errors"
	"strings"

	"github.com/berth-registry/berth/hostsconf"
	"github.com/berth-registry/berth/internal/hostport"
)

// registryHost checks host[:port][/path] and returns its normal form: the host in lower case, the
// path as written.
func registryHost(written string) (string, error) {
	if scheme, rest, found := strings.Cut(written, "://"); found {
		return "", &adviceError{"must not have a scheme", strings.TrimRight(rest, "/"),
			map[bool]string{true: " and plainHTTP: true"}[strings.EqualFold(scheme, "http")]}
	}
	if written == hostsconf.Default {
		return "", errors.New("must be one host; every registry with a login gets its own entry")
	}
	host, path, hasPath := strings.Cut(written, "/")
	if host == "" && hasPath {
		return "", errors.New("has no host before the slash; write host[:port]/path")
	}
	name, err := hostport.Parse(host)
	if err != nil {
		return "", err
	}
	if _, err := hostsconf.ParseUpstream(name); err != nil {
		return "", err
	}
	if !hasPath {
		return name, nil
	}
	if strings.HasSuffix(path, "/") || path == "" {
		return "", &adviceError{fault: "must not end in a slash", write: strings.TrimRight(written, "/")}
	}
	for segment := range strings.SplitSeq(path, "/") {
		switch {
		case segment == "":
			return "", errors.New("path must not have two slashes side by side")
		case segment == ".", segment == "..":
			return "", errors.New(`path must not have "." or ".." in it`)
		case strings.ContainsFunc(segment, notInRepository):
			return "", errors.New("path may hold letters, digits, dots, hyphens and underscores only, as repositories do")
		}
	}
	return name + "/" + path, nil
}

func notInRepository(r rune) bool {
	alnum := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
	return !alnum && r != '.' && r != '-' && r != '_'
}
