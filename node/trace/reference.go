package trace

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/berth-registry/berth/internal/imagename"
	"github.com/berth-registry/berth/internal/redact"
)

// image is a complete image name.
type image struct {
	full     string // as kubelet passes it to containerd
	registry string
	digest   digest.Digest // "" for a tag
}

// parseImage completes a name as containerd's CRI plugin does: a tag beside a digest is dropped.
// The error does not quote a login in the name.
func parseImage(written string) (image, error) {
	switch {
	case shown(written) != written:
		return image{}, errors.New("an image name must not contain a login; write registry/repository:tag")
	case strings.Contains(written, "://"):
		return image{}, errors.New("an image name must not have a scheme; write registry/repository:tag")
	}
	n, err := imagename.Parse(written)
	if err != nil {
		return image{}, fmt.Errorf("image %q: %w; write registry/repository:tag", written, err)
	}
	img := image{full: n.Registry + "/" + n.Repository, registry: n.Registry, digest: digest.Digest(n.Digest)}
	if img.digest != "" {
		img.full += "@" + n.Digest
	} else {
		img.full += ":" + cmp.Or(n.Tag, "latest")
	}
	return img, nil
}

// shown is a name without the login that it may contain.
func shown(written string) string {
	name, sum := written, ""
	if i := strings.LastIndex(name, "@sha"); i >= 0 {
		name, sum = name[:i], name[i:]
	}
	if i := strings.LastIndex(name, "@"); i >= 0 {
		return redact.Placeholder + name[i:] + sum
	}
	return written
}
