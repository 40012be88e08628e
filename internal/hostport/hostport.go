// Package hostport parses the host[:port] of an image name or a registry URL.
//
// It knows only the syntax, nothing about registries, and looks up no name. Start reading at
// [Parse].
package hostport

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// Parse checks that s is a host, with or without a port, as it may start an image name: a DNS name,
// an IPv4 address or an IPv6 address in brackets. It returns s in lower case. Errors give only the
// reason, as a phrase that follows a name ("must …", "has …"); the caller adds the location and the
// value.
//
// The syntax is the "domain" of
// https://github.com/distribution/reference/blob/main/regexp.go, without names that cannot be
// dialed.
func Parse(s string) (string, error) {
	if err := checkBytes(s); err != nil {
		return "", err
	}
	host, port, err := split(s)
	if err != nil {
		return "", err
	}
	if err := checkHost(host); err != nil {
		return "", err
	}
	host = strings.ToLower(host)
	if port == "" {
		return host, nil
	}
	return host + ":" + port, nil
}

// Host returns the host of a value from [Parse], without the port and without the brackets of an
// IPv6 address.
func Host(hostport string) string {
	host, _, err := split(hostport)
	if err != nil {
		return hostport
	}
	return strings.Trim(host, "[]")
}

// Port returns the port of a value from [Parse], or "".
func Port(hostport string) string {
	_, port, err := split(hostport)
	if err != nil {
		return ""
	}
	return port
}

// TrimDefaultPort removes the default port of scheme ("http" or "https"), so that two spellings of
// one address compare equal.
func TrimDefaultPort(hostport, scheme string) string {
	switch {
	case scheme == "https":
		return strings.TrimSuffix(hostport, ":443")
	case scheme == "http":
		return strings.TrimSuffix(hostport, ":80")
	}
	return hostport
}

// TrimDot removes the final dot of the name in host[:port], with which a name is absolute in DNS.
// [Parse] refuses it.
func TrimDot(hostport string) string {
	if strings.HasPrefix(hostport, "[") {
		return hostport
	}
	name, port, hasPort := strings.Cut(hostport, ":")
	if name = strings.TrimSuffix(name, "."); hasPort {
		name += ":" + port
	}
	return name
}

// Scheme returns the scheme of a host that is asked with or without TLS.
func Scheme(plainHTTP bool) string {
	if plainHTTP {
		return "http"
	}
	return "https"
}

// Exposed reports whether a request to scheme://hostport crosses a network unencrypted: over plain
// http, and not to this machine. A login needs the operator's permission there.
func Exposed(scheme, hostport string) bool { return scheme == "http" && !IsLoopback(hostport) }

// IsLoopback reports whether hostport names this machine: localhost, 127.0.0.0/8 or [::1], with or
// without a port. It looks up no name.
func IsLoopback(hostport string) bool {
	host := Host(hostport)
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}

// Directory returns the directory that containerd tries first for a registry: underscores replace
// the colon before the port. The last colon counts, as in hostDirectory of containerd's
// core/remotes/docker/config.
func Directory(hostport string) string {
	if i := strings.LastIndexByte(hostport, ':'); i > 0 && !strings.HasSuffix(hostport, "]") {
		return hostport[:i] + "_" + hostport[i+1:] + "_"
	}
	return hostport
}

func checkBytes(s string) error {
	if s == "" {
		return errors.New("is empty; write a host such as registry.corp or registry.corp:5000")
	}
	for _, r := range s {
		switch {
		case r < 0x20 || r == 0x7f:
			return errors.New("must not contain control characters")
		case r == ' ':
			return errors.New("must not contain a space")
		case r == '%':
			return errors.New("must not contain percent-encoding; write the name itself")
		case r == '@':
			return errors.New("must not contain a login; write it under registries")
		case r == '/':
			return errors.New("must be host[:port] without a path")
		case r > 0x7e:
			return errors.New("must be ASCII; write an internationalised name in its xn-- form")
		}
	}
	return nil
}

func split(s string) (host, port string, err error) {
	if strings.HasPrefix(s, "[") {
		end := strings.IndexByte(s, ']')
		if end < 0 {
			return "", "", errors.New(`has a "[" without the "]" of an IPv6 address`)
		}
		host, port = s[:end+1], s[end+1:]
		if port == "" {
			return host, "", nil
		}
		if port[0] != ':' {
			return "", "", errors.New(`has something other than a :port after the "]" of an IPv6 address`)
		}
		return host, port[1:], checkPort(port[1:])
	}
	host, port, found := strings.Cut(s, ":")
	if !found {
		return s, "", nil
	}
	if strings.Contains(port, ":") {
		if net.ParseIP(s) != nil {
			return "", "", fmt.Errorf("is an IPv6 address, which needs brackets: [%s]", s)
		}
		return "", "", errors.New("has more than one colon; write host:port")
	}
	return host, port, checkPort(port)
}

func checkPort(port string) error {
	n, err := strconv.ParseUint(port, 10, 32)
	if err != nil || n < 1 || n > 65535 || port[0] == '0' {
		return errors.New("must have a number from 1 to 65535 as port")
	}
	return nil
}

func checkHost(host string) error {
	if host == "" {
		return errors.New("has nothing before the colon")
	}
	if host[0] == '[' {
		addr, err := netip.ParseAddr(host[1 : len(host)-1])
		if err != nil || !addr.Is6() || addr.Zone() != "" {
			return errors.New("must have an IPv6 address without a zone between the brackets")
		}
		return nil
	}
	if len(host) > 253 {
		return errors.New("is longer than the 253 characters of a DNS name")
	}
	if strings.HasSuffix(host, ".") {
		return errors.New("must not end in a dot")
	}
	for label := range strings.SplitSeq(host, ".") {
		if err := checkLabel(label); err != nil {
			return err
		}
	}
	return nil
}

func checkLabel(label string) error {
	if label == "" {
		return errors.New("has an empty label: two dots side by side, or one at the start")
	}
	if len(label) > 63 {
		return errors.New("has a label longer than 63 characters")
	}
	for i := range len(label) {
		c := label[i]
		alnum := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !alnum && (c != '-' || i == 0 || i == len(label)-1) {
			// The message does not repeat the label: it may be a password in the wrong place.
			return errors.New("has a label with other characters than letters, digits and inner hyphens")
		}
	}
	return nil
}
