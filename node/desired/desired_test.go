package desired

import (
	"slices"
	"strings"
	"testing"

	"github.com/berth-registry/berth/hostsconf"
	"github.com/berth-registry/berth/internal/redact"
	"github.com/berth-registry/berth/test/nodetest"
)

func TestDesired(t *testing.T) {
	for name, c := range map[string]struct {
		config  string
		want    []string
		notices []string
	}{
		"nothing": {"", nil, nil},
		"a login for a path in the other spelling": {`
mirrors:
- upstream: docker.io
  endpoints: [{url: h.corp/team}]
registries:
- {host: h.corp, username: u, password: whole, auth: basic}
- {host: "h.corp:443/team", username: u, password: team, auth: basic}
`, []string{"docker.io: https://h.corp/v2/team+ as u:team | https://registry-1.docker.io"},
			[]string{"h.corp:443/team has its own login", "h.corp:443/team has its own login"}},
		"fallback": {`
mirrors:
- upstream: docker.io
  endpoints: [{url: harbor.corp/hub}, {url: "http://plain.corp:5000"}]
`, []string{"docker.io: https://harbor.corp/v2/hub+, http://plain.corp:5000 | https://registry-1.docker.io"}, nil},
		"mirror only": {`
mirrors:
- upstream: quay.io
  endpoints: [{url: a.corp}, {url: b.corp}]
  upstreamFallback: false
`, []string{"quay.io: https://a.corp | https://b.corp"}, nil},
		"the upstream itself as the last endpoint": {`
mirrors:
- upstream: quay.io
  endpoints: [{url: a.corp}, {url: quay.io}]
`, []string{"quay.io: https://a.corp | https://quay.io"}, nil},
		"login of a mirror, of its upstream and for direct pulls": {`
mirrors:
- upstream: docker.io
  endpoints: [{url: harbor.corp/hub}]
- upstream: registry.corp:5000
  endpoints: [{url: other.corp}]
registries:
- {host: harbor.corp, username: u, password: p}
- {host: "registry.corp:5000", username: v, password: q}
`, []string{
			"docker.io: https://harbor.corp/v2/hub+ as u:p | https://registry-1.docker.io",
			"registry.corp:5000: https://other.corp | https://registry.corp:5000 as v:q",
			"harbor.corp:  | https://harbor.corp as u:p",
		}, nil},
		"longest match by segments": {`
mirrors:
- upstream: docker.io
  endpoints: [{url: harbor.corp/hub}, {url: harbor.corp/hub-evil}]
registries:
- {host: harbor.corp/hub, username: hub, password: p}
`, []string{"docker.io: https://harbor.corp/v2/hub+ as hub:p, https://harbor.corp/v2/hub-evil+ | https://registry-1.docker.io"},
			[]string{"harbor.corp: no login is written for https://harbor.corp: harbor.corp/hub has its own login"}},
		"one login must cover the whole endpoint": {`
mirrors:
- upstream: docker.io
  endpoints: [{url: harbor.corp}]
registries:
- {host: harbor.corp, username: all, password: p}
- {host: harbor.corp/team, username: team, password: p}
`, []string{"docker.io: https://harbor.corp | https://registry-1.docker.io"},
			[]string{"docker.io: no login is written for https://harbor.corp: harbor.corp/team", "harbor.corp: no login is written"}},
		"token logins go by the provider": {`
mirrors:
- upstream: docker.io
  endpoints: [{url: ghcr.io/x}]
registries:
- {host: ghcr.io, username: u, password: p, auth: token}
- {host: docker.io, username: hub, password: p, auth: token}
`, []string{"docker.io: https://ghcr.io/v2/x+ | https://registry-1.docker.io"},
			[]string{"docker.io: the login of ghcr.io is not written for https://ghcr.io/v2/x"}},
		"catch-all and its pass-through": {`
mirrors:
- upstream: "*"
  endpoints: [{url: catch.corp/all}]
registries:
- {host: ghcr.io, username: u, password: p, auth: token}
- {host: "localhost:5000"}
- {host: "plain.corp:5000", plainHTTP: true}
ecr: {registries: [{host: images.corp, account: "111122223333", region: us-east-1}]}
`, []string{
			"*: https://catch.corp/v2/all+ |",
			"catch.corp:  |",
			"ghcr.io:  |",
			"images.corp:  |",
			"localhost:5000:  |",
			"plain.corp:5000:  | http://plain.corp:5000",
		}, []string{"*: a plain registry cannot distinguish"}},
		"catch-all without fallback": {`
mirrors:
- upstream: "*"
  endpoints: [{url: catch.corp}]
  upstreamFallback: false
`, []string{"*:  | https://catch.corp", "catch.corp:  |"}, []string{"*: a plain registry"}},
		"default registry": {`
defaultRegistry: {url: "registry.com:5555/artifactory", for: [docker.io, quay.io], upstreamFallback: false}
registries:
- {host: "registry.com:5555", username: u, password: p, tls: {insecureSkipVerify: true}}
`, []string{
			"docker.io:  | https://registry.com:5555/v2/artifactory+ as u:p unverified",
			"quay.io:  | https://registry.com:5555/v2/artifactory+ as u:p unverified",
			"registry.com:5555:  | https://registry.com:5555 as u:p unverified",
		}, nil},
		"plain http": {`
registries:
- {host: "h.corp:5000", username: u, password: p, plainHTTP: true, allowPlainHTTPCredentials: true}
- {host: "127.0.0.1:5000", username: u, password: p}
- {host: "localhost:5000", username: u, password: p, plainHTTP: false}
`, []string{
			"127.0.0.1:5000:  | http://127.0.0.1:5000 as u:p",
			"h.corp:5000:  | http://h.corp:5000 as u:p",
			"localhost:5000:  | https://localhost:5000 as u:p",
		}, nil},
		"registries on this machine without a setting of their own": {`
mirrors:
- {upstream: "localhost:5000", endpoints: [{url: mirror.corp}]}
- {upstream: localhost, endpoints: [{url: mirror.corp}]}
- {upstream: "127.0.0.9:80", endpoints: [{url: mirror.corp}]}
- {upstream: "[::1]:5000", endpoints: [{url: mirror.corp}]}
registries:
- {host: "127.0.0.2:5000"}
`, []string{
			"localhost:5000: https://mirror.corp |", "localhost: https://mirror.corp |",
			"127.0.0.9:80: https://mirror.corp |", "[::1]:5000: https://mirror.corp |",
		}, nil},
		"registries on this machine with settings": {`
mirrors:
- {upstream: "localhost:5000", endpoints: [{url: mirror.corp}]}
- {upstream: "localhost:5001", endpoints: [{url: "http://localhost:5001"}]}
- {upstream: "localhost:5002", endpoints: [{url: mirror.corp}]}
registries:
- {host: "localhost:5000", username: u, password: p}
- {host: "localhost:5002", tls: {insecureSkipVerify: true}}
- {host: "localhost:5003", plainHTTP: true}
- {host: "localhost", plainHTTP: false}
`, []string{
			"localhost:5000: https://mirror.corp | http://localhost:5000 as u:p",
			"localhost:5001:  | http://localhost:5001",
			"localhost:5002: https://mirror.corp | https://localhost:5002 unverified",
			"localhost:  | https://localhost",
			"localhost:5003:  | http://localhost:5003",
		}, nil},
		"default port, the other way round": {`
mirrors:
- upstream: docker.io
  endpoints: [{url: "https://harbor.corp"}]
registries:
- {host: "harbor.corp:443", username: u, password: p, tls: {insecureSkipVerify: true}}
`, []string{
			"docker.io: https://harbor.corp as u:p unverified | https://registry-1.docker.io",
			"harbor.corp:443:  | https://harbor.corp:443 as u:p unverified",
		}, nil},
		"an IPv6 mirror": {`
mirrors:
- upstream: docker.io
  endpoints: [{url: "[2001:db8::1]:5000"}]
- upstream: quay.io
  endpoints: [{url: "[2001:db8::1]:5000"}]
  upstreamFallback: false
`, []string{
			"docker.io: https://[2001:db8::1]:5000 | https://registry-1.docker.io",
			"quay.io:  | https://[2001:db8::1]:5000",
		}, []string{"docker.io: containerd 1.6 and 1.7 ignore a hosts.toml"}},
		"default port": {`
mirrors:
- upstream: docker.io
  endpoints: [{url: "https://harbor.corp:443"}]
registries:
- {host: harbor.corp, username: u, password: p}
`, []string{
			"docker.io: https://harbor.corp:443 as u:p | https://registry-1.docker.io",
			"harbor.corp:  | https://harbor.corp as u:p",
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			directories, notices := Directories(nodetest.ParseConfig(t, c.config), Inputs{})
			var got []string
			for _, d := range directories {
				got = append(got, nodetest.ShowDirectory(d))
			}
			if g, w := strings.Join(got, "\n"), strings.Join(c.want, "\n"); g != w {
				t.Errorf("got:\n%s\nwant:\n%s", g, w)
			}
			if len(notices) != len(c.notices) {
				t.Fatalf("notices %v, want %v", notices, c.notices)
			}
			for i, n := range notices {
				if !strings.Contains(n.String(), c.notices[i]) {
					t.Errorf("notice %q, want %q", n, c.notices[i])
				}
			}
			if _, err := hostsconf.Build("/etc/containerd/certs.d", directories); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestPodRoles: a registry for the pod's own role has a header nowhere, and a token of the node is
// kept for it only if pods without a role get that.
func TestPodRoles(t *testing.T) {
	const none, node, other = "111122223333.dkr.ecr.us-east-1.amazonaws.com", "222233334444.dkr.ecr.us-east-1.amazonaws.com",
		"333344445555.dkr.ecr.us-east-1.amazonaws.com"
	cfg := nodetest.ParseConfig(t, `
mirrors:
- upstream: docker.io
  endpoints: [{url: `+none+`/hub}, {url: `+node+`/hub}, {url: `+other+`/hub}]
- upstream: "*"
  endpoints: [{url: catch.corp}]
registries:
- {host: `+none+`, ecr: {serviceAccount: {}}}
- {host: `+node+`, ecr: {serviceAccount: {onMissingRole: node}}}
- {host: `+other+`}
`)
	token := hostsconf.BasicAuthorization("AWS", redact.New("token"))
	s := Compute(cfg, Inputs{Headers: Headers{none: token, node: token, other: token}})
	var asked []string
	for _, r := range s.ECRRegistries {
		asked = append(asked, r.Host)
	}
	if slices.Sort(asked); !slices.Equal(asked, []string{node, other}) {
		t.Errorf("tokens are asked for %q", asked)
	}
	directories := map[string]bool{}
	for _, d := range s.Directories {
		directories[d.Upstream] = true
		hosts := d.Hosts
		if d.Server != nil {
			hosts = append(hosts, *d.Server)
		}
		for _, h := range hosts {
			if want := h.URL.Host == other; !h.Authorization.IsZero() != want {
				t.Errorf("%s: %s has a header: %t", d.Upstream, h.URL, !want)
			}
		}
	}
	// They keep the mirror for everything away.
	if !directories[none] || !directories[node] {
		t.Errorf("directories %v", directories)
	}
}
