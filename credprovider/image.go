package credprovider

import (
	"errors"
	"strings"

	"github.com/berth-registry/berth/internal/dockerhub"
)

// Image is the parsed name of an image.
type Image struct {
	// Registry is the host[:port] as written, by which containerd looks up the directory;
	// docker.io when the name has none, or has index.docker.io.
	Registry string
	// Host is Registry in the form in which logins are compared: lower case, no trailing dot,
	// docker.io for Docker Hub's other names.
	Host string
	// Repository is the path, without tag and digest.
	Repository string
	// Name is Registry and the path, completed as kubelet and containerd do:
	// docker.io/library/nginx for nginx and docker.io/nginx.
	Name string
}

// maxImage is more bytes than any reference has: host 255, repository 255, tag 128.
const maxImage = 1024

// ParseImage parses an image name, with or without a tag or a digest, by the rules of
// https://github.com/distribution/reference. The error does not quote the name.
func ParseImage(s string) (Image, error) {
	if s == "" {
		return Image{}, errors.New("the image is empty")
	}
	if len(s) > maxImage {
		return Image{}, errors.New("the image name is too long")
	}
	name, digest, hasDigest := strings.Cut(s, "@")
	if hasDigest && !isDigest(digest) {
		return Image{}, errors.New("the image has a malformed digest")
	}
	if colon := strings.LastIndexByte(name, ':'); colon > strings.LastIndexByte(name, '/') {
		name = name[:colon]
	}
	registry, repository, slash := strings.Cut(name, "/")
	if !slash || !isRegistry(registry) {
		registry, repository = dockerhub.Name, name
	}
	if registry == dockerhub.LegacyName {
		// kubelet and containerd's CRI rewrite this name in exactly this spelling.
		registry = dockerhub.Name
	}
	host, err := canonicalHost(registry)
	if err != nil {
		return Image{}, errors.New("the registry of the image " + err.Error())
	}
	if !isRepository(repository) {
		return Image{}, errors.New("the image is not a valid reference")
	}
	if registry == dockerhub.Name && !strings.Contains(repository, "/") {
		repository = dockerhub.Official + repository
	}
	return Image{Registry: registry, Host: host, Repository: repository, Name: registry + "/" + repository}, nil
}

// isRegistry distinguishes a registry from the first part of a Docker Hub path.
func isRegistry(s string) bool {
	return s == "localhost" || strings.ContainsAny(s, ".:[") || strings.ToLower(s) != s
}

// isDigest checks the form only: algorithm, colon, hexadecimal digits.
func isDigest(s string) bool {
	algorithm, digits, _ := strings.Cut(s, ":")
	return isRepository(strings.ReplaceAll(algorithm, "+", "-")) && digits != "" && strings.Trim(digits, "0123456789abcdefABCDEF") == ""
}

// isRepository is strict because the name becomes a key of kubelet, which reads keys as globs and
// prefixes.
func isRepository(s string) bool {
	for part := range strings.SplitSeq(s, "/") {
		if part == "" || part == "." || part == ".." {
			return false
		}
		for _, c := range part {
			alnum := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
			if !alnum && c != '.' && c != '_' && c != '-' {
				return false
			}
		}
	}
	return true
}
