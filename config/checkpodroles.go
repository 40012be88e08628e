package config

import (
	"reflect"
	"slices"

	"github.com/berth-registry/berth/config/syntax"
	"github.com/berth-registry/berth/credprovider"
	"github.com/berth-registry/berth/credprovider/ecr"
	"github.com/berth-registry/berth/hostsconf"
)

// serviceAccount checks a section serviceAccount. Without a value, as in "serviceAccount:", it has
// its defaults; a null is none.
func (c *checker) serviceAccount(s *location, account *ServiceAccount) *ServiceAccount {
	if account == nil {
		if s.Node == nil || !syntax.IsNull(s.Node) || s.Node.Value != "" {
			return nil // also for a wrong type, which is reported
		}
		account = &ServiceAccount{}
		syntax.SetDefaults(reflect.ValueOf(account).Elem())
	}
	if at := s.Field("roleAnnotation"); !syntax.AnnotationForm.MatchString(account.RoleAnnotation) {
		c.reject(at, account.RoleAnnotation, "must be the name of an annotation, such as %s", ecr.RoleAnnotation)
	}
	c.oneOf(s.Field("onMissingRole"), string(account.OnMissingRole), string(ecr.RoleOrNone), string(ecr.RoleOrNode))
	return account
}

// podRoles refuses settings by which a header of the node would serve the images of a registry that
// is pulled from with the pod's own role: containerd sends the header, and never the pod's token.
func (c *checker) podRoles(root *location) {
	names := c.cfg.ECRNames()
	registries, docker := c.cfg.Logins()
	logins := credprovider.NewLogins(registries, docker)
	type entry struct {
		registry ecr.Registry
		line     int
	}
	var own []entry // registries with their own serviceAccount
	for i, r := range c.cfg.Registries {
		if r.ECR == nil || r.ECR.ServiceAccount == nil {
			continue
		}
		s := root.Field("registries").Item(i).Field("ecr").Field("serviceAccount")
		registry, ok := names.Parse(r.Host)
		if !ok {
			continue // refused already
		}
		for _, have := range own {
			if have.registry.Same(registry) {
				c.refuse(s, "the same ECR registry already has a serviceAccount on line %d; keep one of them", have.line)
			}
		}
		line, _ := s.Position()
		own = append(own, entry{registry, line})
		for _, l := range slices.Concat(registries, docker) {
			if r.HasLogin() {
				break // refused already
			}
			if at, ok := names.Parse(l.Host); ok && at.Same(registry) {
				c.refuse(s, "is given together with a login for %s, which would be used in its place; remove that login", l.Name())
				break
			}
		}
	}
	general := root.Field("ecr").Field("serviceAccount")
	// before refuses an endpoint of a mirror of upstream that has a header.
	before := func(s *location, upstream, address string, literal bool) {
		of, ok := names.Parse(upstream)
		if !ok || !of.ServiceAccount.On() {
			return
		}
		u, err := hostsconf.ParseURL(address, literal)
		if err != nil {
			return // refused already
		}
		header := ""
		if _, ok := logins.For(u.Host, u.Scheme, u.RepositoryPath()); ok {
			header = "a login"
		} else if at, ok := names.Parse(u.Host); ok && !at.ServiceAccount.On() {
			header = "the node's ECR token"
		}
		if header == "" {
			return
		}
		line, _ := general.Position()
		for _, e := range own {
			if e.registry.Same(of) {
				line = e.line
			}
		}
		c.reject(s, address, "gets %s in a header, and images of %s are pulled with the pod's own role; "+
			"remove this endpoint, or the serviceAccount on line %d", header, upstream, line)
	}
	for i, m := range c.cfg.Mirrors {
		for j, e := range m.Endpoints {
			before(root.Field("mirrors").Item(i).Field("endpoints").Item(j).Field("url"), m.Upstream, e.URL, e.OverridePath)
		}
	}
	if d := c.cfg.DefaultRegistry; d != nil {
		for _, upstream := range d.For {
			before(root.Field("defaultRegistry").Field("url"), upstream, d.URL, false)
		}
	}
}
