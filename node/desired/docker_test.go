package desired

import (
	"slices"
	"strings"
	"testing"

	"github.com/berth-registry/berth/hostsconf"
	"github.com/berth-registry/berth/test/nodetest"
)

// TestDocker checks the directories for Docker: who has a login, and who can be pushed to. A host
// that can be pushed to is followed by "(push)".
func TestDocker(t *testing.T) {
	const hub = `
mirrors:
- upstream: docker.io
  endpoints: [{url: harbor.corp/hub}]
`
	const login = `
registries:
- {host: r.corp, username: u, password: p}
`
	for name, c := range map[string]struct {
		config  string
		docker  Docker
		want    []string
		notices []string
	}{
		"a mirror with the upstream behind it": {hub, Docker{},
			[]string{"docker.io: https://harbor.corp/v2/hub+ | https://registry-1.docker.io (push)"}, nil},
		"a mirror only": {hub + "  upstreamFallback: false\n", Docker{},
			[]string{"docker.io:  | https://harbor.corp/v2/hub+"}, []string{"docker.io: docker push to docker.io fails"}},
		"the upstream itself as an endpoint": {`
mirrors:
- upstream: quay.io
  endpoints: [{url: a.corp}, {url: "quay.io:443"}]
  upstreamFallback: false
`, Docker{}, []string{"quay.io: https://a.corp | https://quay.io:443 (push)"}, nil},
		"a mirror with push": {`
mirrors:
- upstream: quay.io
  endpoints: [{url: a.corp, capabilities: [pull, resolve, push]}]
  upstreamFallback: false
`, Docker{}, []string{"quay.io:  | https://a.corp (push)"}, nil},
		"everything": {`
mirrors:
- upstream: "*"
  endpoints: [{url: catch.corp}]
  upstreamFallback: false
`, Docker{}, []string{"*:  | https://catch.corp", "catch.corp:  |"}, []string{"*: a plain registry", "*: docker push to any registry without an entry"}},
		"a login": {login, Docker{}, []string{"r.corp:  | https://r.corp as u:p (push)"}, nil},
		"a login, and mirrors for Docker Hub": {login, Docker{Mirrors: []string{"https://m.corp"}},
			[]string{"r.corp:  | https://r.corp as u:p (push)"}, nil},
		"the login of Docker Hub is for its token server": {`
registries:
- {host: docker.io, username: u, password: p}
`, Docker{}, nil, []string{"docker.io: the login of docker.io is not written for https://registry-1.docker.io: the registry accepts only tokens, and Docker"}},
		"auth: token": {`
mirrors:
- upstream: docker.io
  endpoints: [{url: ghcr.io/hub}]
registries:
- {host: ghcr.io, username: u, password: p, auth: token}
`, Docker{}, []string{"docker.io: https://ghcr.io/v2/hub+ | https://registry-1.docker.io (push)"}, []string{"auth: token; run docker login"}},
		"one mirror for Docker Hub, with a login, beside registry-mirrors": {hub + "  upstreamFallback: false\n" + `
registries:
- {host: harbor.corp, username: u, password: p}
`, Docker{Mirrors: []string{"https://m.corp"}}, []string{"docker.io:  | https://harbor.corp/v2/hub+", "harbor.corp:  | https://harbor.corp as u:p (push)"},
			[]string{"docker.io: docker push", "docker.io: headers and logins for https://harbor.corp/v2/hub are not written for Docker: Docker would send them to its registry-mirrors (https://m.corp), too"}},
		"the same without registry-mirrors": {hub + "  upstreamFallback: false\n" + `
registries:
- {host: harbor.corp, username: u, password: p}
`, Docker{}, []string{"docker.io:  | https://harbor.corp/v2/hub+ as u:p", "harbor.corp:  | https://harbor.corp as u:p (push)"}, []string{"docker push"}},
		"the same, and the settings are not known": {hub + "  upstreamFallback: false\n" + `
registries:
- {host: harbor.corp, username: u, password: p}
`, Docker{Unsettled: "daemon.json was changed"}, []string{"docker.io:  | https://harbor.corp/v2/hub+", "harbor.corp:  | https://harbor.corp (push)"},
			[]string{"docker push", "are not known: daemon.json was changed", "are not known: daemon.json was changed"}},
		"two hosts for Docker Hub switch registry-mirrors off": {hub + `
registries:
- {host: harbor.corp, username: u, password: p}
`, Docker{Mirrors: []string{"https://m.corp"}, Unsettled: "x"}, []string{
			"docker.io: https://harbor.corp/v2/hub+ as u:p | https://registry-1.docker.io (push)", "harbor.corp:  | https://harbor.corp (push)"},
			[]string{"docker.io: registry-mirrors of Docker (https://m.corp) have no effect", "are not known"}},
		"a mirror for everything, with a login, serves Docker Hub too": {`
mirrors:
- upstream: "*"
  endpoints: [{url: catch.corp, headers: {X-Key: [hunter2]}}]
  upstreamFallback: false
`, Docker{Mirrors: []string{"https://m.corp"}}, []string{"*:  | https://catch.corp", "catch.corp:  |"},
			[]string{"*: a plain registry", "*: docker push", "*: headers and logins for https://catch.corp are not written for Docker"}},
		"unless Docker Hub has its own": {`
mirrors:
- upstream: "*"
  endpoints: [{url: catch.corp}]
  upstreamFallback: false
- upstream: docker.io
  endpoints: [{url: catch.corp}]
registries:
- {host: catch.corp, username: u, password: p}
`, Docker{Mirrors: []string{"https://m.corp"}}, []string{"*:  | https://catch.corp as u:p", "docker.io: https://catch.corp as u:p | https://registry-1.docker.io (push)",
			"catch.corp:  | https://catch.corp as u:p (push)"}, []string{"*: a plain registry", "*: docker push", "docker.io: registry-mirrors"}},
		"an insecure registry":                {login, Docker{Insecure: []string{"R.corp"}}, []string{"r.corp:  | https://r.corp (push)"}, []string{"insecure-registries of Docker (R.corp)"}},
		"an insecure registry, with a scheme": {login, Docker{Insecure: []string{"https://r.corp"}}, []string{"r.corp:  | https://r.corp (push)"}, []string{"insecure-registries"}},
		"another one":                         {login, Docker{Insecure: []string{"r.corp:5000", "s.corp"}}, []string{"r.corp:  | https://r.corp as u:p (push)"}, nil},
		"a network, and a name":               {login, Docker{Insecure: []string{"10.0.0.0/8"}}, []string{"r.corp:  | https://r.corp (push)"}, []string{"insecure-registries of Docker (10.0.0.0/8)"}},
		"the loopback network, and a name":    {login, Docker{Insecure: []string{"127.0.0.0/8"}}, []string{"r.corp:  | https://r.corp as u:p (push)"}, nil},
		"a network, and an address in it": {strings.ReplaceAll(login, "r.corp", `"10.1.2.3:5000"`), Docker{Insecure: []string{"10.0.0.0/8"}},
			[]string{"10.1.2.3:5000:  | https://10.1.2.3:5000 (push)"}, []string{"insecure-registries"}},
		"a network, and another address": {strings.ReplaceAll(login, "r.corp", `"192.168.1.1"`), Docker{Insecure: []string{"10.0.0.0/8"}},
			[]string{"192.168.1.1:  | https://192.168.1.1 as u:p (push)"}, nil},
		"an insecure registry behind a mirror": {`
mirrors:
- upstream: r.corp
  endpoints: [{url: a.corp}]
`, Docker{Insecure: []string{"r.corp"}}, []string{"r.corp: https://a.corp | https://r.corp (push)"}, []string{"insecure-registries of Docker (r.corp) has no effect beside this hosts.toml"}},
		"insecure registries behind a mirror for everything": {`
mirrors:
- upstream: "*"
  endpoints: [{url: a.corp}]
`, Docker{Insecure: []string{"r.corp", "10.0.0.0/8"}}, []string{"*: https://a.corp |", "a.corp:  |"},
			[]string{"*: a plain registry", "*: insecure-registries of Docker (r.corp, 10.0.0.0/8) have no effect for images"}},
		"Docker that cannot read it": {login, Docker{CannotRead: "rootless"}, nil, []string{"r.corp: the login of r.corp is not written for https://r.corp: rootless"}},
		"Docker that cannot read it, auth: basic": {`
registries:
- {host: r.corp, username: u, password: p, auth: basic}
`, Docker{CannotRead: "rootless"}, nil, []string{"rootless"}},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := nodetest.ParseConfig(t, c.config)
			state := Compute(cfg, Inputs{CertsDir: "/etc/docker/certs.d", Readers: Readers{Docker: &c.docker}})
			var got []string
			for _, d := range state.Directories {
				got = append(got, strings.TrimSpace(showPush(d)))
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("directories:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(c.want, "\n"))
			}
			for i, n := range state.Notices {
				if i >= len(c.notices) || !strings.Contains(n.String(), c.notices[i]) {
					t.Errorf("notice %d: %s", i, n)
				}
				if strings.Contains(n.String(), "hunter2") {
					t.Error("a secret is shown")
				}
			}
			if len(state.Notices) < len(c.notices) {
				t.Errorf("%d notices, want %d", len(state.Notices), len(c.notices))
			}
		})
	}
}

// showPush is nodetest.ShowDirectory with "(push)" after the server, if it can be pushed to.
func showPush(d hostsconf.Directory) string {
	s := nodetest.ShowDirectory(d)
	if d.Server != nil && (len(d.Server.Capabilities) == 0 || slices.Contains(d.Server.Capabilities, "push")) {
		s += " (push)"
	}
	for _, h := range d.Hosts {
		if slices.Contains(h.Capabilities, "push") {
			s += " push to " + h.URL.String()
		}
	}
	return s
}
