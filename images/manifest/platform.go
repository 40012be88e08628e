package manifest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/berth-registry/berth/images/reference"
)

// Platform is an operating system and an architecture that an image is for.
type Platform struct {
	OS, Architecture, Variant string
}

// ParsePlatform reads os/architecture[/variant], as in linux/arm64. The error quotes s and says
// what to write.
func ParsePlatform(s string) (Platform, error) {
	parts := strings.Split(s, "/")
	for _, p := range parts {
		if p == "" || strings.Trim(strings.ToLower(p), "abcdefghijklmnopqrstuvwxyz0123456789_.-") != "" {
			parts = nil
		}
	}
	if len(parts) < 2 || len(parts) > 3 {
		return Platform{}, fmt.Errorf("%s: is no platform; write os/architecture as in linux/amd64, or os/architecture/variant as in linux/arm/v7", reference.Quote(s))
	}
	p := Platform{OS: strings.ToLower(parts[0]), Architecture: strings.ToLower(parts[1])}
	if len(parts) == 3 {
		p.Variant = strings.ToLower(parts[2])
	}
	return p.normal(), nil
}

// normal replaces common other names of architectures by those that images use:
// https://github.com/containerd/platforms/blob/main/database.go
func (p Platform) normal() Platform {
	switch p.Architecture {
	case "x86_64", "x86-64":
		p.Architecture = "amd64"
	case "aarch64":
		p.Architecture = "arm64"
	case "i386":
		p.Architecture = "386"
	case "armhf":
		p.Architecture, p.Variant = "arm", "v7"
	}
	if p.Architecture == "arm64" && p.Variant == "v8" || p.Architecture == "amd64" && p.Variant == "v1" {
		p.Variant = "" // the default variant
	}
	return p
}

// PlatformOf converts the platform of an index entry; nil gives the zero value.
func PlatformOf(p *v1.Platform) Platform {
	if p == nil {
		return Platform{}
	}
	return Platform{OS: p.OS, Architecture: p.Architecture, Variant: p.Variant}.normal()
}

// Matches reports whether p is a wanted platform, which may leave out the variant.
func (p Platform) Matches(wanted Platform) bool {
	return p.OS == wanted.OS && p.Architecture == wanted.Architecture && (wanted.Variant == "" || p.Variant == wanted.Variant)
}

// String is os/architecture[/variant].
func (p Platform) String() string {
	s := p.OS + "/" + p.Architecture
	if p.Variant != "" {
		s += "/" + p.Variant
	}
	return s
}

// NameOr is the platform, or "manifest" and the digest of content without one, as an attestation.
func (p Platform) NameOr(d v1.Hash) string {
	if p.OS == "" || p.OS == "unknown" {
		return "manifest " + Short(d)
	}
	return p.String()
}

// BlobSource is a repository from which blobs are read. If its requests may have to be retried, it
// also has a method Retry.
type BlobSource interface {
	Blob(ctx context.Context, d v1.Descriptor) (io.ReadCloser, error)
}

// ConfigPlatform reads the platform of an image from its config; the zero value if there is none,
// as for an artifact.
func ConfigPlatform(ctx context.Context, repo BlobSource, c Manifest) (Platform, error) {
	var m v1.Manifest
	if err := json.Unmarshal(c.Raw, &m); err != nil {
		return Platform{}, fmt.Errorf("manifest %s: %s", c.Desc.Digest, OneLine(err.Error()))
	}
	const largest = 8 << 20 // bytes
	var config v1.Platform
	read := func(ctx context.Context) error {
		body, err := repo.Blob(ctx, m.Config)
		if err != nil {
			return err
		}
		defer body.Close()
		raw, err := io.ReadAll(io.LimitReader(body, largest))
		if err != nil {
			return err
		}
		if json.Unmarshal(raw, &config) != nil {
			config = v1.Platform{} // an artifact, without a platform
		}
		return nil
	}
	var err error
	if r, ok := repo.(interface {
		Retry(ctx context.Context, what string, f func(context.Context) error) error
	}); ok {
		err = r.Retry(ctx, "config", read)
	} else {
		err = read(ctx)
	}
	return PlatformOf(&config), err
}
