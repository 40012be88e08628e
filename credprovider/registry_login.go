package credprovider

import (
	"errors"
	"fmt"
)

// anyRepository is a repository without a login of its own; its name is as good as any.
const anyRepository = "berth/any"

// RegistryLogin returns the login that kubelet may pass with every image of a registry, host[:port],
// whatever the path. The errors are those of [Provider.Check]; a *[WithheldError] names the registry
// as the image. An ECR token is [ErrNotServed].
func (p *Provider) RegistryLogin(registry string) (Login, error) {
	decision, err := p.decide(registry + "/" + anyRepository)
	if withheld, ok := errors.AsType[*WithheldError](err); ok {
		named := *withheld
		named.Image = registry
		return Login{}, &named
	}
	switch {
	case err != nil:
		return Login{}, err
	case decision.Login == nil:
		return Login{}, ErrNotServed
	case decision.perImage:
		return Login{}, fmt.Errorf("login of %s is not for every image of %s: some paths have their own login; "+
			"the credential provider passes these logins", decision.Login.Name(), registry)
	}
	return *decision.Login, nil
}
