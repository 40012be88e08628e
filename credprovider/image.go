package credprovider

import (
	"fmt"

	"github.com/berth-registry/berth/internal/imagename"
)

// Image is the parsed name of an image.
type Image struct {
	// Registry is the host[:port] as written, by which containerd looks up the directory;
	// docker.io when the name has none, or has index.docker.io.
	Registry string
	// Host is Registry in the form in which logins are compared: lower case, without the port 443,
	// docker.io for Docker Hub's other names.
	Host string
	// Repository is the path, without tag and digest.
	Repository string
	// Name is Registry and the path, completed as kubelet and containerd do:
	// docker.io/library/nginx for nginx and docker.io/nginx.
	Name string
}

// ParseImage parses an image name, with or without a tag or a digest. The error does not quote the
// name.
func ParseImage(s string) (Image, error) {
	n, err := imagename.Parse(s)
	if err != nil {
		return Image{}, fmt.Errorf("image name: %w", err)
	}
	host, err := canonicalHost(n.Registry)
	if err != nil {
		return Image{}, fmt.Errorf("image name: the registry %w", err)
	}
	return Image{Registry: n.Registry, Host: host, Repository: n.Repository, Name: n.Registry + "/" + n.Repository}, nil
}
