package credprovider

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/berth-registry/berth/credprovider/ecr"
	"github.com/berth-registry/berth/internal/redact"
)

// Pod is the pod that an image is pulled for, as far as kubelet says it. The zero value is a pod
// without a service account, and any pod for a kubelet that has no tokenAttributes.
type Pod struct {
	Token       redact.Secret     // of its service account, for STS
	Annotations map[string]string // of its service account; kubelet passes those that it is told to
}

// NoRoleError means that a pull is for the pod's own role, and that no role is known. For
// [errors.Is] it is [ErrNotServed]: the pull goes on without a credential.
type NoRoleError struct {
	Host       string // of the registry
	Annotation string
}

// Error implements error; the text ends with a remedy.
func (e *NoRoleError) Error() string {
	return fmt.Sprintf("%s is pulled from with the pod's own role, and its service account names none; set its annotation %s", e.Host, e.Annotation)
}

// Is implements the method that [errors.Is] asks for.
func (e *NoRoleError) Is(target error) bool { return target == ErrNotServed }

// forPods reports whether the pod's own role gets the tokens of some registry.
func (r Rules) forPods() bool {
	return slices.ContainsFunc(r.ECRNames, func(n ecr.Name) bool { return n.ServiceAccount.On() })
}

// CheckPodRoles returns an error for each file of the node that takes a pull away from the pod's own
// role: containerd would send the header that is in it. Files of Berth have none there.
func (r Rules) CheckPodRoles() error {
	var errs []error
	for _, d := range r.Directories {
		of, ok := r.ECRNames.Parse(d.Upstream)
		ownRole := ok && of.ServiceAccount.On()
		for _, h := range d.Hosts {
			at, ok := r.ECRNames.Parse(h.Host)
			if h.Header && (ownRole || ok && at.ServiceAccount.On()) {
				errs = append(errs, fmt.Errorf("%s: the hosts.toml for it has a login for %s in a header, and pulls are with the pod's own role; "+
					"remove that file, or ecr.serviceAccount", d.Upstream, h.Host))
			}
		}
	}
	return errors.Join(errs...)
}

// serviceAccount returns the setting for a pull from r. If the rules say nothing about pods, the
// token in the request decides: kubelet sends one only where its configuration asks for the pod's
// own role.
func (r Rules) serviceAccount(of ecr.Registry, pod Pod) ecr.ServiceAccount {
	if !of.ServiceAccount.On() && !pod.Token.IsZero() && !r.forPods() {
		return ecr.ServiceAccount{RoleAnnotation: ecr.RoleAnnotation, OnMissingRole: ecr.RoleOrNone}
	}
	return of.ServiceAccount
}

// token gets a token for a pull from r, and reports whether it is the pod's own. When the pod has a
// role, that role alone is asked: its refusal is the error.
func (p *Provider) token(ctx context.Context, r ecr.Registry, pod Pod) (Token, bool, error) {
	account := p.Rules.serviceAccount(r, pod)
	role, err := p.role(account, pod)
	switch {
	case err != nil:
		return Token{}, false, err
	case role != "":
		t, err := p.Tokens.ForRole(ctx, r, role, pod.Token)
		return t, true, err
	case account.OnMissingRole == ecr.RoleOrNone:
		return Token{}, false, &NoRoleError{Host: r.Host, Annotation: account.RoleAnnotation}
	}
	t, err := p.Tokens.Get(ctx, r)
	return t, false, err
}

// role returns the ARN of the pod's role, "" for none. The error quotes nothing of the annotation.
func (p *Provider) role(account ecr.ServiceAccount, pod Pod) (string, error) {
	if !account.On() || pod.Token.IsZero() {
		return "", nil
	}
	const form = "%s is not the ARN of a role; write arn:aws:iam::111122223333:role/NAME"
	if role, ok := pod.Annotations[account.RoleAnnotation]; ok {
		if !ecr.IsRoleARN(role) {
			return "", fmt.Errorf("the service account's annotation "+form, account.RoleAnnotation)
		}
		return role, nil
	}
	getenv := p.Getenv
	if getenv == nil {
		getenv = os.Getenv
	}
	role := getenv(ecr.EnvRoleOfPod)
	if role != "" && !ecr.IsRoleARN(role) {
		return "", fmt.Errorf(form, ecr.EnvRoleOfPod)
	}
	return role, nil
}

// anyToken is token for a pod that is not known: for the pod's own role it is a token without a
// login, whose source names that role.
func (p *Provider) anyToken(ctx context.Context, r ecr.Registry) (Token, bool, error) {
	account := r.ServiceAccount
	if !account.On() {
		t, err := p.Tokens.Get(ctx, r)
		return t, false, err
	}
	own := "the pod's own role (annotation " + account.RoleAnnotation + ")"
	if account.OnMissingRole == ecr.RoleOrNone {
		return Token{Source: own}, true, nil
	}
	t, err := p.Tokens.Get(ctx, r)
	if err != nil {
		return Token{Source: own}, true, err
	}
	t.Source = own + ", without one " + t.Source
	return t, false, nil
}
