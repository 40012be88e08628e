// Package imagename parses image names.
//
// It accepts the names that kubelet, containerd and Docker accept, and completes them as they do.
// They use https://github.com/distribution/reference, with which a test compares this package; the
// credential provider links only this one, because kubelet starts it for every pull. Start reading
// at [Parse].
package imagename

import (
	"errors"
	"fmt"
	"strings"

	"github.com/berth-registry/berth/internal/dockerhub"
)

// Name is a complete image name.
type Name struct {
	Registry   string // host[:port] as written; docker.io for Docker Hub
	Repository string // official images of Docker Hub have library/
	Tag        string // "" if the name has none
	Digest     string // algorithm:hex, "" if the name has none
}

const (
	// MaxLength is an upper bound for every name: registry 255, repository 255, tag 128, digest
	// 135 (sha512).
	MaxLength     = 1024
	maxRepository = 255
	maxTag        = 128
)

// The errors of [Parse] follow "image …: ". None quotes the name.
var (
	errEmpty     = errors.New("is empty")
	errLong      = fmt.Errorf("is longer than the %d characters that an image name can have", MaxLength)
	errID        = errors.New("is the ID of an image and not its name")
	errUppercase = errors.New("the repository must be in lower case")
	errDigest    = errors.New("the digest is malformed; sha256: and 64 hexadecimal digits are needed")
	errForm      = errors.New("is not of the form registry/repository:tag")
	errTooLong   = fmt.Errorf("the repository is longer than %d characters", maxRepository)
)

// Parse parses an image name, with or without a registry, a tag and a digest. It adds no tag.
// Unlike the parser of distribution/reference it refuses a registry that is no host, such as a_b.c.
func Parse(s string) (Name, error) {
	switch {
	case s == "":
		return Name{}, errEmpty
	case len(s) > MaxLength:
		return Name{}, errLong
	case len(s) == 64 && isHex(s):
		return Name{}, errID
	}
	rest, digest, hasDigest := strings.Cut(s, "@")
	n := Name{Registry: dockerhub.Name, Digest: digest}
	if HasRegistry(rest) {
		n.Registry, rest, _ = strings.Cut(rest, "/")
	}
	if n.Registry == dockerhub.LegacyName {
		n.Registry = dockerhub.Name
	}
	var hasTag bool
	n.Repository, n.Tag, hasTag = strings.Cut(rest, ":")
	if n.Registry == dockerhub.Name && !strings.Contains(n.Repository, "/") {
		n.Repository = dockerhub.Official + n.Repository
	}
	switch {
	case strings.ToLower(n.Repository) != n.Repository:
		return Name{}, errUppercase
	case hasDigest && !isDigest(digest):
		return Name{}, errDigest
	case !isRegistry(n.Registry), !isRepository(n.Repository), hasTag && !isTag(n.Tag):
		return Name{}, errForm
	case len(n.Repository) > maxRepository:
		return Name{}, errTooLong
	}
	return n, nil
}

// HasRegistry reports whether an image name begins with a registry: its first part is localhost, or
// has a dot, a colon or an upper-case letter, which no first part of a repository has.
func HasRegistry(name string) bool {
	first, _, slash := strings.Cut(name, "/")
	return slash && (first == "localhost" || strings.ContainsAny(first, ".:") || strings.ToLower(first) != first)
}

// isRegistry: host[:port], where host is a DNS name or an IPv6 address in brackets.
func isRegistry(s string) bool {
	if address, port, ok := strings.Cut(s, "]"); ok {
		inside, ok := strings.CutPrefix(address, "[")
		return ok && inside != "" && consistsOf(inside, "0123456789abcdefABCDEF:") &&
			(port == "" || port[0] == ':' && isNumber(port[1:]))
	}
	host, port, hasPort := strings.Cut(s, ":")
	if hasPort && !isNumber(port) {
		return false
	}
	for label := range strings.SplitSeq(host, ".") {
		if label == "" || label[0] == '-' || label[len(label)-1] == '-' || !consistsOf(label, alphanumeric+"-") {
			return false
		}
	}
	return true
}

// isRepository: parts with slashes between. A part consists of words of lower-case letters and
// digits; between two words is a dot, one or two underscores, or any number of hyphens.
func isRepository(s string) bool {
	for part := range strings.SplitSeq(s, "/") {
		for {
			after := strings.TrimLeft(part, lowerAndDigits)
			if after == part {
				return false
			}
			if after == "" {
				break
			}
			if part = strings.TrimLeft(after, "-"); part != after {
				continue
			}
			var ok bool
			for _, separator := range []string{"__", "_", "."} {
				if part, ok = strings.CutPrefix(after, separator); ok {
					break
				}
			}
			if !ok {
				return false
			}
		}
	}
	return true
}

func isTag(s string) bool {
	return s != "" && len(s) <= maxTag && s[0] != '.' && s[0] != '-' && consistsOf(s, alphanumeric+"_.-")
}

// isDigest: the algorithms that https://github.com/opencontainers/go-digest has.
func isDigest(s string) bool {
	algorithm, digits, _ := strings.Cut(s, ":")
	return len(digits) == map[string]int{"sha256": 64, "sha384": 96, "sha512": 128}[algorithm] && digits != "" && isHex(digits)
}

func isHex(s string) bool    { return consistsOf(s, "0123456789abcdef") }
func isNumber(s string) bool { return s != "" && consistsOf(s, "0123456789") }

const (
	lowerAndDigits = "abcdefghijklmnopqrstuvwxyz0123456789"
	alphanumeric   = lowerAndDigits + "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
)

func consistsOf(s, bytes string) bool { return strings.Trim(s, bytes) == "" }
