package credprovider

import (
	"context"
	"errors"
	"time"

	"github.com/berth-registry/berth/credprovider/ecr"
	"github.com/berth-registry/berth/internal/redact"
)

// Explanation describes which host gets which credential when an image is pulled.
type Explanation struct {
	Image Image
	// Directory is the upstream of the directory that wins, "*" for
	// _default, or "" when there is none.
	Directory string
	Hosts     []HostExplanation // in the order in which they are asked
	// Credential is the one that kubelet passes on, nil when there is none; Err has the reason.
	Credential *Credential
	Err        error
}

// HostExplanation is one host that is asked for the image.
type HostExplanation struct {
	Host Host
	// Rule names the login or the ECR registry whose credential the host may have, "" when there
	// is none.
	Rule string
	// Source names the source of an ECR token or the credential helper of a login; Expires is zero
	// for a login of the config.
	Source   string
	Expires  time.Time
	Username string
	Password redact.Secret
	// Err is the reason why there is no token.
	Err error
}

// Explain returns the answer of Credential and the credential that each host may have in its
// header. Missing tokens are fetched, except for those of a pod's own role: it has no username then.
// The error is about the image's name only.
func (p *Provider) Explain(ctx context.Context, image string) (Explanation, error) {
	img, err := ParseImage(image)
	if err != nil {
		return Explanation{}, err
	}
	e := Explanation{Image: img}
	var hosts []Host
	e.Directory, hosts = p.Rules.hosts(img)
	look := p.Rules.lookup()
	for _, h := range hosts {
		e.Hosts = append(e.Hosts, p.explainHost(ctx, look.of(h, img.Repository), h))
	}
	c, err := p.credential(image, func(r ecr.Registry) (Token, bool, error) { return p.anyToken(ctx, r) })
	if err != nil {
		e.Err = err
		return e, nil
	}
	e.Credential = &c
	return e, nil
}

// errIdentityToken is the reason why a host gets no identity token.
var errIdentityToken = errors.New("containerd gets no identity token, neither from hosts.toml nor from kubelet; " +
	"write username and passwordFile of an access token or a robot account under registries")

func (p *Provider) explainHost(ctx context.Context, o credentialFor, h Host) HostExplanation {
	e := HostExplanation{Host: h}
	switch {
	case o.login != nil:
		e.Rule, e.Source = o.login.Rule(), o.login.Source()
		if o.login.Username == TokenUser {
			e.Rule, e.Err = "identity token "+o.login.Name(), errIdentityToken
			return e
		}
		e.Username, e.Password, e.Expires = o.login.Username, o.login.Password, o.login.Expires
		e.Err = o.login.missing(p.HelperErrors)
	case o.ecr != nil:
		e.Rule = ecrRule(*o.ecr)
		t, _, err := p.anyToken(ctx, *o.ecr)
		e.Source, e.Expires, e.Err = t.Source, t.Expires, err
		e.Username, e.Password = t.Username, t.Password
	}
	return e
}
