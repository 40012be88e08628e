package config

import (
	"maps"
	"net/textproto"
	"slices"
	"time"

	"github.com/berth-registry/berth/hostsconf"
)

const maxDialTimeout = 5 * time.Minute

func (c *checker) mirrors(list *location) {
	c.mirrorLines = make(map[string]int, len(c.cfg.Mirrors))
	c.catchAll = slices.ContainsFunc(c.cfg.Mirrors, func(m Mirror) bool { return m.Upstream == hostsconf.Default })
	for i := range c.cfg.Mirrors {
		m, s := &c.cfg.Mirrors[i], list.Item(i)
		c.mirrorUpstream(s, m)
		endpoints := s.Field("endpoints")
		if len(m.Endpoints) == 0 {
			c.refuse(endpoints, "a mirror needs at least one endpoint; write endpoints: [{url: https://mirror.corp}]")
			continue
		}
		seen := make(map[string]int, len(m.Endpoints))
		for j := range m.Endpoints {
			c.endpoint(endpoints.Item(j), m, j, seen)
		}
	}
}

func (c *checker) mirrorUpstream(mirror *location, m *Mirror) {
	s := mirror.Field("upstream")
	if c.require(s, `write the registry's name as in images, or "*"`) {
		return
	}
	name, ok := c.upstream(s, m.Upstream)
	if !ok {
		return
	}
	m.Upstream = name
	line, _ := s.Position()
	if first, ok := c.mirrorLines[name]; ok {
		c.reject(s, name, "already has a mirror on line %d; put all endpoints into one entry", first)
		return
	}
	c.mirrorLines[name] = line
}

func (c *checker) endpoint(s *location, m *Mirror, i int, seen map[string]int) {
	e := &m.Endpoints[i]
	if at := s.Field("url"); !c.require(at, "write the mirror's address, such as https://mirror.corp:5000") {
		u, err := hostsconf.ParseURL(e.URL, e.OverridePath)
		if err != nil {
			c.badURL(at, e.URL, err)
		} else {
			line, _ := at.Position()
			if first, ok := seen[NormalizeURL(u)]; ok {
				c.reject(at, e.URL, "repeats the endpoint on line %d; list it once", first)
			}
			seen[NormalizeURL(u)] = line
			if len(e.Headers) == 0 {
				c.mirrorHost(at, u, m, i == len(m.Endpoints)-1)
			}
		}
	}
	c.capabilities(s, e)
	if d := time.Duration(e.DialTimeout); d <= 0 || d > maxDialTimeout {
		at := s.Field("dialTimeout")
		c.reject(at, at.Written(), "must be more than 0 and at most 5m")
	}
	if len(e.Headers) > 0 {
		c.headers(s.Field("headers"), e.Headers)
	}
}

func (c *checker) capabilities(endpoint *location, e *Endpoint) {
	if len(e.Capabilities) == 0 {
		c.empty(endpoint.Field("capabilities"), "leave it out for [pull, resolve]")
		return
	}
	for i, name := range e.Capabilities {
		switch {
		case slices.Contains(e.Capabilities[:i], name):
			if name != "" {
				c.reject(endpoint.Field("capabilities").Item(i), name, "is listed twice")
			}
		case name == "pull", name == "resolve", name == "push":
		case name == "referrers":
			c.reject(endpoint.Field("capabilities").Item(i), name,
				"is not supported: containerd before 2.2 ignores the whole file; use pull, resolve and push")
		default:
			c.oneOf(endpoint.Field("capabilities").Item(i), name, "pull", "resolve", "push")
		}
	}
}

func (c *checker) headers(s *location, headers map[string][]string) {
	seen := make(map[string]string, len(headers))
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		at := s.Field(name)
		canonical := textproto.CanonicalMIMEHeaderKey(name)
		switch {
		case canonical == "Authorization":
			c.refuse(at, "is refused: write the login under registries, so that it is kept secret and renewed")
		case seen[canonical] != "":
			c.refuse(at, "repeats the header %s; put all values into one list", seen[canonical])
		case len(headers[name]) == 0:
			c.refuse(at, "has no value; write a list such as [team-a]")
		}
		seen[canonical] = name
		for i, value := range headers[name] {
			if hasControl(value) {
				c.refuse(at.Item(i), "a header value must not contain control characters")
			}
		}
	}
}

func (c *checker) defaultRegistry(s *location) {
	d := c.cfg.DefaultRegistry
	if d == nil {
		return
	}
	if at := s.Field("url"); !c.require(at, "write the registry's address, such as registry.com:5000/team") {
		if _, err := hostsconf.ParseURL(d.URL, false); err != nil {
			c.badURL(at, d.URL, err)
		}
	}
	list := s.Field("for")
	if len(d.For) == 0 {
		c.empty(list, "leave it out for [docker.io]")
		return
	}
	for i, written := range d.For {
		at := list.Item(i)
		if list.Unset() {
			at = s // the default, docker.io
		}
		if c.require(at, "write an upstream, such as docker.io") {
			continue
		}
		name, ok := c.upstream(at, written)
		if !ok {
			continue
		}
		switch line, mirrored := c.mirrorLines[name]; {
		case slices.Contains(d.For[:i], name):
			c.reject(at, name, "is listed twice")
		case mirrored && list.Unset():
			c.refuse(at, "replaces docker.io, which has its own mirror on line %d; add the url to its endpoints, or list other upstreams in for", line)
		case mirrored:
			c.reject(at, name, "has its own mirror on line %d; add the url to its endpoints, or leave it out here", line)
		}
		d.For[i] = name
	}
}
