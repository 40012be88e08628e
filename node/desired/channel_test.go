package desired

import (
	"strings"
	"testing"

	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/hostsconf"
	"github.com/berth-registry/berth/internal/containerdconf"
	"github.com/berth-registry/berth/node/probestate"
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
		{"tokens of another domain", host, config.AuthAuto, "2.4.2", foreign, provider, "https://auth.evil.example, which is not of its domain; auth: basic"},
		{"tokens of another domain", host, config.AuthAuto, "", foreign, provider, "not of its domain"},
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
		got := channelOf(u, c.auth, readersOf(t, c.release), c.fact)
		text := map[bool]string{true: header}[got.Header]
		switch {
		case got.Unprobed:
			text += ", unprobed"
		case got.Header && !got.Serves:
			text += ", may not serve"
		}
		if text != c.want || !strings.Contains(got.Why, c.why) || (got.Why == "") != (c.why == "") {
			t.Errorf("%s, containerd %q, auth %s: %q (%s), want %q (%s)", c.name, c.release, c.auth, text, got.Why, c.want, c.why)
		}
	}
}
