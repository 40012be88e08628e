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
	Getenv  func(string) string // nil: os.Getenv
	// HelperErrors are reasons why credential helpers gave no login, by the login's name.
	HelperErrors map[string]error
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

	ofPod bool // it is the pod's own
}

// ErrNotServed means that no credential is configured for any host that
// containerd would ask.
var ErrNotServed = errors.New("no credential is configured for this image")

// Credential returns the credential for an image that is pulled for a pod. Errors are those of
// [Rules.Decide], [Tokens.Get] and [Tokens.ForRole], a *[NoRoleError], a *[NoHelperLoginError], and a
// *[WithheldError] when the rules were not made for the hosts.toml that containerd finds.
func (p *Provider) Credential(ctx context.Context, image string, pod Pod) (Credential, error) {
	return p.credential(image, func(r ecr.Registry) (Token, bool, error) { return p.token(ctx, r, pod) })
}

// credential is Credential with the function that gets an ECR token, and says whether it is a pod's
// own.
func (p *Provider) credential(image string, get func(ecr.Registry) (Token, bool, error)) (Credential, error) {
	decision, err := p.decide(image)
	if err != nil {
		return Credential{}, err
	}
	c := Credential{Key: decision.Image.Registry, PerImage: decision.perImage}
	if c.PerImage {
		c.Key = decision.Image.Name
	}
	if decision.Login != nil {
		return c, c.fill(*decision.Login, p.HelperErrors)
	}
	t, ofPod, err := get(*decision.ECR)
	if err != nil {
		return Credential{}, err
	}
	c.ofPod = ofPod
	c.Username, c.Password, c.Expires = t.Username, t.Password, t.Expires
	c.Rule = ecrRule(*decision.ECR) + ", " + t.Source
	return c, nil
}

// fill sets the login of c. The error is a *[NoHelperLoginError].
func (c *Credential) fill(l Login, reasons map[string]error) error {
	if err := l.missing(reasons); err != nil {
		*c = Credential{}
		return err
	}
	c.Username, c.Password, c.Expires = l.Username, l.Password, l.Expires
	c.Rule = l.Rule()
	if s := l.Source(); s != "" {
		c.Rule += ", " + s
	}
	return nil
}

// missing returns a *[NoHelperLoginError] for a login whose helper has given none.
func (l Login) missing(reasons map[string]error) error {
	if !l.Missing() {
		return nil
	}
	return &NoHelperLoginError{Registry: l.Name(), Program: l.Helper, Err: reasons[l.Name()]}
}

// ecrRule names an ECR registry in messages; the public one has no account.
func ecrRule(r ecr.Registry) string {
	return strings.Join(strings.Fields("ecr "+r.Account+" "+r.Region), " ")
}
