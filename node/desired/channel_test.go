package desired

import (
	"strings"
	"testing"

	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/hostsconf"
	"github.com/berth-registry/berth/internal/containerdconf"
	"github.com/berth-registry/berth/internal/redact"
	"github.com/berth-registry/berth/node/probestate"
	"github.com/berth-registry/berth/test/nodetest"
)

func readersOf(t *testing.T, release string) Readers {
	t.Helper()
	if release == "" {
		return Readers{}
	}
	r, ok := containerdconf.ParseRelease(release)
	if !ok {
		t.Fatal(release)
	}
	return Readers{Containerd: r}
}

// TestChannelOf checks the decision by config, by the reader of the file, and by what was
// probed.
func TestChannelOf(t *testing.T) {
	const host = "https://r.example.com"
	bearer := func(realm string) probestate.Fact { return probestate.Fact{Basic: probestate.Refused, Realm: realm} }
	changed := func(realm, noted string) probestate.Fact {
		return probestate.Fact{Basic: probestate.Refused, Realm: realm, NotedRealm: noted}
	}
	own, foreign, plain := bearer("https://auth.example.com"), bearer("https://auth.evil.example"), bearer("http://r.example.com")
	const (
		header   = "header"
		maybe    = "header, may not serve"
		unasked  = "header, unprobed"
		provider = ""
	)
	for _, c := range []struct {
		name    string
		url     string
		auth    config.Auth
		release string
		fact    probestate.Fact
		want    string
		why     string
	}{
		{"unknown", host, config.AuthAuto, "2.4.2", probestate.Fact{}, unasked, ""},
		{"unknown", host, config.AuthAuto, "1.7.28", probestate.Fact{}, unasked, ""},
		{"unknown after all", host, config.AuthAuto, "", probestate.Fact{Basic: probestate.Unknown}, unasked, ""},
		{"Basic", host, config.AuthAuto, "1.7.28", probestate.Fact{Basic: probestate.Accepted}, header, ""},
		{"Basic", host, config.AuthAuto, "2.4.2", probestate.Fact{Basic: probestate.Accepted}, header, ""},
		{"Basic, and a foreign server for what it hides", host, config.AuthAuto, "2.4.2",
			probestate.Fact{Basic: probestate.Accepted, Realm: "https://evil.example"}, provider, "https://evil.example, which is not of its domain"},
		{"the same before 2.1", host, config.AuthAuto, "2.0.14",
			probestate.Fact{Basic: probestate.Accepted, Realm: "https://evil.example"}, header, ""},
		{"Basic, with a store beside it", host, config.AuthAuto, "2.4.2",
			probestate.Fact{Basic: probestate.Accepted, Redirect: probestate.OtherPort, To: "r.example.com:9000"}, provider, "r.example.com:9000"},
		{"tokens", host, config.AuthAuto, "1.6.20", own, provider, "containerd 1.6.20 requests them without the header"},
		{"tokens", host, config.AuthAuto, "2.0.14", own, provider, "containerd 2.0.14"},
		{"tokens", host, config.AuthAuto, "2.1.0", own, header, ""},
		{"tokens", host, config.AuthAuto, "2.4.2", own, header, ""},
		{"tokens", host, config.AuthAuto, "", own, maybe, "before 2.1"},
		{"tokens of another domain", host, config.AuthAuto, "1.7.28", foreign, provider, "without the header"},
		{"tokens of another domain", host, config.AuthAuto, "2.4.2", foreign, provider, "https://auth.evil.example, which is not of its domain; if that server may have the login, write tokenRealms: [\"auth.evil.example\"]"},
		{"tokens of another domain", host, config.AuthAuto, "", foreign, provider, "not of its domain"},
		{"tokens of a listed server", host, config.AuthAuto, "2.4.2", bearer("https://listed.corp"), header, ""},
		{"tokens of a listed server", host, config.AuthAuto, "2.0.14", bearer("https://listed.corp"), provider, "without the header"},
		{"tokens of a listed server", host, config.AuthAuto, "", bearer("https://listed.corp"), maybe, "before 2.1"},
		{"another server than before", host, config.AuthAuto, "2.4.2", changed("https://auth2.example.com", own.Realm), provider,
			"https://auth2.example.com, and the registry named https://auth.example.com before; if that server may have the login, write tokenRealms: [\"auth2.example.com\"]"},
		{"another server than before, of another domain", host, config.AuthAuto, "2.4.2", changed(foreign.Realm, own.Realm), provider,
			"not of its domain, and the registry named https://auth.example.com before"},
		{"another server than before, listed", host, config.AuthAuto, "2.4.2", changed("https://listed.corp", own.Realm), header, ""},
		{"the registry itself in place of another server", host, config.AuthAuto, "2.4.2", changed(host, own.Realm), header, ""},
		{"the server of before", host, config.AuthAuto, "2.4.2", changed(own.Realm, own.Realm), header, ""},
		{"another server without a login", host, config.AuthAuto, "2.4.2",
			probestate.Fact{Basic: probestate.Refused, Realm: own.Realm, RootRealm: foreign.Realm}, provider, "https://auth.evil.example, which is not of its domain"},
		{"another server without a login, where Basic is accepted", host, config.AuthAuto, "2.4.2",
			probestate.Fact{Basic: probestate.Accepted, RootRealm: foreign.Realm}, header, ""},
		{"tokens in the clear", host, config.AuthAuto, "2.4.2", plain, provider, "which is asked over plain http"},
		{"tokens of nowhere, or learned by an earlier version", host, config.AuthAuto, "2.4.2", bearer(""), provider, "names no token server"},
		{"Docker Hub", "https://registry-1.docker.io", config.AuthAuto, "1.7.28", probestate.Fact{}, provider, "only kubelet's credential provider"},
		{"Docker Hub", "https://registry-1.docker.io", config.AuthAuto, "2.4.2", probestate.Fact{}, header, ""},
		{"Docker Hub", "https://registry-1.docker.io", config.AuthAuto, "", probestate.Fact{}, maybe, "before 2.1"},
		{"Docker Hub changes its mind", "https://registry-1.docker.io", config.AuthAuto, "1.7.28", probestate.Fact{Basic: probestate.Accepted}, header, ""},
		{"another host as Docker Hub", "https://registry-1.docker.io", config.AuthAuto, "2.4.2", foreign, provider, "not of its domain"},
		{"what is called like it, over http", "http://ghcr.io", config.AuthAuto, "2.4.2", probestate.Fact{}, unasked, ""},
		{"token", host, config.AuthToken, "2.4.2", probestate.Fact{Basic: probestate.Accepted}, provider, "auth: token"},
		{"basic", host, config.AuthBasic, "2.4.2", foreign, header, ""},
		{"basic", host, config.AuthBasic, "1.7.28", own, header, ""},
	} {
		u, err := hostsconf.ParseURL(c.url, false)
		if err != nil {
			t.Fatal(err)
		}
		got := channelOf(u, c.auth, []string{"listed.corp"}, readersOf(t, c.release), c.fact)
		text := map[bool]string{true: header}[got.Header]
		switch {
		case got.Unprobed:
			text += ", unprobed"
		case got.Header && !got.Serves:
			text += ", may not serve"
		}
		if text != c.want || !strings.Contains(got.Reason(), c.why) || (got.Why == "") != (c.why == "") {
			t.Errorf("%s, containerd %q, auth %s: %q (%s), want %q (%s)", c.name, c.release, c.auth, text, got.Reason(), c.want, c.why)
		}
	}
}

// The entry that lists token servers for an address is that of its host with the longest path that
// contains it, in any spelling of the host; a login of its own is not needed.
func TestTokenRealms(t *testing.T) {
	cfg := nodetest.ParseConfig(t, `registries:
- {host: registry.corp, tokenRealms: [auth.corp]}
- {host: registry.corp/team, username: u, password: p, tokenRealms: [team.corp, "team.corp:8443"]}
- {host: registry.corp/team/sub, username: u, password: p}
- {host: "registry.corp:8443", tokenRealms: [other.corp]}
- {host: docker.io, tokenRealms: [hub.corp]}
- {host: none.corp}
`)
	for address, want := range map[string]string{
		"https://registry.corp":             "auth.corp",
		"https://registry.corp:443":         "auth.corp",
		"https://registry.corp/v2/teams":    "auth.corp",
		"https://registry.corp/team":        "team.corp team.corp:8443",
		"https://registry.corp/v2/team/sub": "team.corp team.corp:8443",
		"https://registry.corp:8443":        "other.corp",
		"https://registry-1.docker.io":      "hub.corp",
		"https://none.corp":                 "",
		"https://unknown.corp":              "",
	} {
		u, err := hostsconf.ParseURL(address, false)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(TokenRealms(cfg, u), " "); got != want {
			t.Errorf("%s: %q, want %q", address, got, want)
		}
	}
}

// An entry without a login is enough: the login may come from the docker config file. The mirror for
// everything and the upstream have their own entries.
func TestTokenRealmsOfTargets(t *testing.T) {
	cfg := nodetest.ParseConfig(t, `mirrors:
- {upstream: "*", endpoints: [{url: mirror.corp}]}
- {upstream: quay.corp, endpoints: [{url: mirror.corp/quay}]}
registries:
- {host: mirror.corp, tokenRealms: [auth.mirror]}
- {host: quay.corp, tokenRealms: [auth.quay]}
`)
	cfg.DockerConfig = []config.DockerLogin{{Host: "mirror.corp", Username: "u", Password: redact.New("p")}, {Host: "quay.corp", Username: "u", Password: redact.New("p")}}
	fact := func(url, realm string) probestate.Fact {
		return probestate.Fact{URL: url, Basic: probestate.Refused, Realm: realm}
	}
	state := Compute(cfg, Inputs{Readers: readersOf(t, "2.4.2"), Learned: []probestate.Fact{
		fact("https://mirror.corp/v2", "https://auth.mirror"), fact("https://mirror.corp/v2/quay", "https://auth.quay"), fact("https://quay.corp/v2", "https://auth.quay"),
	}})
	want := map[string]bool{"* https://mirror.corp": true, "quay.corp https://mirror.corp/v2/quay": false, "quay.corp https://quay.corp": true}
	for _, target := range state.Targets {
		key := target.Upstream + " " + target.Host.URL.String()
		header, listed := want[key]
		if !listed {
			continue
		}
		delete(want, key)
		if target.Channel.Header != header || target.Channel.Untrusted == header {
			t.Errorf("%s: %+v, want a header: %t", key, target.Channel, header)
		}
	}
	if len(want) > 0 {
		t.Errorf("no target for %v", want)
	}
}
