package credprovider

import (
	"context"
	"errors"
	"time"

	"github.com/berth-registry/berth/internal/redact"
)

// Explanation tells which credential goes where when an image is pulled.
type Explanation struct {
	Image Image
	// Directory is the upstream of the directory that wins, "*" for
	// _default, or "" when there is none.
	Directory string
	Hosts     []HostExplanation // in the order in which they are asked
	// Credential is what kubelet passes on, nil when there is none; Err says
	// why.
	Credential *Credential
	Err        error
}

// HostExplanation is one host that is asked for the image.
type HostExplanation struct {
	Host Host
	// Rule names the login or the ECR registry that is meant for the host,
	// "" when there is none.
	Rule string
	// Source is where an ECR token comes from; Expires is zero for a login.
	Source   string
	Expires  time.Time
	Username string
	Password redact.Secret
	// Err says why there is no token.
	Err error
}

// Explain tells what Credential would answer, and which credential each host
// has in its header. Tokens that are missing are fetched. The error is about
// the image's name only.
func (p *Provider) Explain(ctx context.Context, image string) (Explanation, error) {
	img, err := ParseImage(image)
	if err != nil {
		return Explanation{}, err
	}
	e := Explanation{Image: img}
	var hosts []Host
	e.Directory, hosts = p.Rules.hosts(img)
	look := lookup{logins: NewLogins(p.Rules.Registries, p.Rules.DockerConfig), names: p.Rules.ECRNames}
	for _, h := range hosts {
		e.Hosts = append(e.Hosts, p.explainHost(ctx, look.of(h, img.Repository), h))
	}
	c, err := p.Credential(ctx, image)
	if err != nil {
		e.Err = err
		return e, nil
	}
	e.Credential = &c
	return e, nil
}

func (p *Provider) explainHost(ctx context.Context, o credentialFor, h Host) HostExplanation {
	e := HostExplanation{Host: h}
	switch {
	case o.login != nil:
		e.Rule = "login " + o.login.Name()
		e.Username, e.Password = o.login.Username, o.login.Password
	case o.ecr != nil:
		e.Rule = ecrRule(*o.ecr)
		t, err := p.Tokens.Get(ctx, *o.ecr)
		e.Source, e.Expires, e.Err = t.Source, t.Expires, err
		e.Username, e.Password = t.Username, t.Password
	}
	return e
}

// Withheld reports whether there is a credential that kubelet does not get.
func (e Explanation) Withheld() bool {
	_, ok := errors.AsType[*WithheldError](e.Err)
	return ok
}
