package credprovider

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/berth-registry/berth/credprovider/ecr"
	"github.com/berth-registry/berth/internal/redact"
)

// Provider finds credentials for images.
type Provider struct {
	Rules  Rules
	Tokens *Tokens
	// Resolve returns the path by which this process can open a path of the node; nil when they
	// are the same.
	Resolve func(hostPath string) (string, error)
}

// Credential is a login for an image, and how kubelet may use it.
type Credential struct {
	Username string
	Password redact.Secret
	// Key is kubelet's cache key: the registry as in the image's name, or the whole name without
	// its tag.
	Key string
	// PerImage says that it is for this image alone.
	PerImage bool
	// Expires is zero when it does not expire.
	Expires time.Time
	// Rule names its origin: "ecr 111122223333 us-east-1, instance profile" or "login
	// registry.corp/team".
	Rule string
}

// ErrNotServed means that no credential is configured for any host that
// containerd would ask.
var ErrNotServed = errors.New("no credential is configured for this image")

// Credential returns the credential for an image. Errors are those of [Rules.Plan] and
// [Tokens.Get], and a *[WithheldError] when the rules were not made for the hosts.toml that
// containerd finds.
func (p *Provider) Credential(ctx context.Context, image string) (Credential, error) {
	plan, err := p.decide(image)
	if err != nil {
		return Credential{}, err
	}
	c := Credential{Key: plan.Image.Registry, PerImage: plan.perImage}
	if c.PerImage {
		c.Key = plan.Image.Name
	}
	if plan.Login != nil {
		c.Username, c.Password = plan.Login.Username, plan.Login.Password
		c.Rule = "login " + plan.Login.Name()
		return c, nil
	}
	t, err := p.Tokens.Get(ctx, *plan.ECR)
	if err != nil {
		return Credential{}, err
	}
	c.Username, c.Password, c.Expires = t.Username, t.Password, t.Expires
	c.Rule = ecrRule(*plan.ECR) + ", " + t.Source
	return c, nil
}

// ecrRule names an ECR registry in messages; the public one has no account.
func ecrRule(r ecr.Registry) string {
	return strings.Join(strings.Fields("ecr "+r.Account+" "+r.Region), " ")
}
