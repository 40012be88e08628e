package config

import (
	"fmt"
	"strings"

	"github.com/berth-registry/berth/credprovider"
	"github.com/berth-registry/berth/credprovider/ecr"
	"github.com/berth-registry/berth/hostsconf"
	"github.com/berth-registry/berth/internal/hostport"
)

// plainHTTP refuses settings that would send a credential unencrypted to another machine. The error
// is at the setting that chooses plain http.
func (c *checker) plainHTTP(root *location) {
	owned := c.collectLogins()
	const message = "would send %s over plain http to another machine; use https, or set allowPlainHTTPCredentials: true in %s"
	registries := root.Field("registries")
	for i, r := range c.cfg.Registries {
		host, path := credprovider.SplitHost(r.Host)
		if !hostport.Exposed(hostport.Scheme(r.PlainHTTP), host) {
			continue
		}
		if o, ok := owned.covering(host, path); ok && !o.allowed {
			c.reject(registries.Item(i).Field("plainHTTP"), "true", message, o.name, o.entry)
		}
	}
	address := func(s *location, written string, literal bool) {
		u, err := hostsconf.ParseURL(written, literal)
		if err != nil || !hostport.Exposed(u.Scheme, u.Host) {
			return
		}
		if o, ok := owned.covering(u.Host, u.RepositoryPath()); ok && !o.allowed {
			c.reject(s, written, message, o.name, o.entry)
		}
	}
	mirrors := root.Field("mirrors")
	for i, m := range c.cfg.Mirrors {
		for j, e := range m.Endpoints {
			// Parsing every endpoint again would take as long as checking it did; only the
			// http ones matter.
			if len(e.URL) > 7 && strings.EqualFold(e.URL[:7], "http://") {
				address(mirrors.Item(i).Field("endpoints").Item(j).Field("url"), e.URL, e.OverridePath)
			}
		}
	}
	if d := c.cfg.DefaultRegistry; d != nil {
		address(root.Field("defaultRegistry").Field("url"), d.URL, false)
	}
}

// loginOrigin describes the source of a credential.
type loginOrigin struct {
	name    string // for messages: "the login of registries[2]"
	entry   string // where the permission must be set
	allowed bool   // to go over plain http
}

// ownedLogins finds the credential for a host and path, and its origin.
type ownedLogins struct {
	logins  credprovider.Logins
	origins map[string]loginOrigin // by the login's name
	allowed func(host, path string) bool
}

// newEntry is where the permission must be set for a credential that has no entry of its own.
const newEntry = "an entry of registries for it"

func (o ownedLogins) covering(host, path string) (loginOrigin, bool) {
	login, ok := o.logins.For(host, "http", path)
	if ok {
		return o.origins[login.Name()], true
	}
	if _, ok = ecr.ParseHost(host); !ok {
		return loginOrigin{}, false
	}
	// A registry with an ECR host name gets a token without any entry.
	allowed := o.allowed(host, path) || o.allowed(hostport.TrimDefaultPort(host, "http"), path)
	return loginOrigin{"the ECR token", newEntry, allowed}, true
}

// collectLogins gathers the credentials of all sources; registries have precedence. The permission
// to use plain http is set in the login's own entry; for a login from elsewhere, in any entry that
// covers it.
func (c *checker) collectLogins() ownedLogins {
	origins := map[string]loginOrigin{}
	var lists [3][]credprovider.Login
	add := func(list int, address, name, entry string, allowed bool) {
		host, path := credprovider.SplitHost(address)
		lists[list] = append(lists[list], credprovider.Login{Host: host, Path: path})
		if _, ok := origins[address]; !ok {
			origins[address] = loginOrigin{name, entry, allowed}
		}
	}
	for i, r := range c.cfg.Registries {
		if r.HasLogin() {
			entry := fmt.Sprintf("registries[%d]", i)
			add(0, r.Host, "the login of "+entry, entry, r.AllowPlainHTTPCredentials)
		}
	}
	for _, d := range c.cfg.DockerConfig {
		add(1, d.Host, "the login for "+d.Host+" in dockerConfigFile", newEntry, c.allowsPlainHTTP(d.Host))
	}
	for i, e := range c.cfg.ECR.Registries {
		add(2, e.Host, fmt.Sprintf("the token of ecr.registries[%d]", i), newEntry, c.allowsPlainHTTP(e.Host))
	}
	return ownedLogins{credprovider.NewLogins(lists[0], lists[1], lists[2]), origins, func(host, path string) bool {
		return c.allowsPlainHTTP(strings.TrimSuffix(host+"/"+path, "/"))
	}}
}

func (c *checker) allowsPlainHTTP(address string) bool {
	for _, r := range c.cfg.Registries {
		if r.AllowPlainHTTPCredentials && credprovider.Within(address, r.Host) {
			return true
		}
	}
	return false
}
