package desired

import (
	"strings"
	"testing"

	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/credprovider"
	"github.com/berth-registry/berth/hostsconf"
	"github.com/berth-registry/berth/internal/redact"
	"github.com/berth-registry/berth/node/probestate"
)

// A Bearer token is a header where it goes to its registry alone, or to a token server that may have
// it. An identity token is never written, and a notice says so.
func TestTokensOfDockerConfig(t *testing.T) {
	const host = "r.example.com"
	realm := func(server string) []probestate.Fact {
		return []probestate.Fact{{URL: "https://" + host + "/v2", Basic: probestate.Refused, Realm: server}}
	}
	own, foreign := realm("https://auth.example.com"), realm("https://auth.evil.example")
	bearer := config.DockerLogin{Host: host, Bearer: true, Password: redact.New("granted")}
	identity := config.DockerLogin{Host: host, Username: credprovider.TokenUser, Password: redact.New("refresh")}
	for _, c := range []struct {
		name    string
		login   config.DockerLogin
		release string
		docker  bool
		learned []probestate.Fact
		header  bool
		notice  string
	}{
		{"before 2.1", bearer, "1.6.20", false, own, true, ""},
		{"before 2.1, another domain", bearer, "2.0.14", false, foreign, true, ""},
		{"its own token server", bearer, "2.4.2", false, own, true, ""},
		{"another domain", bearer, "2.4.2", false, foreign, false, "not of its domain"},
		{"another domain, unknown release", bearer, "", false, foreign, false, "not of its domain"},
		{"nothing known", bearer, "2.4.2", false, nil, true, ""},
		{"Docker", bearer, "", true, own, true, ""},
		{"Docker, another domain", bearer, "", true, foreign, true, ""},
		{"identity token", identity, "1.6.20", false, nil, false, "identity token"},
		{"identity token", identity, "2.4.2", false, own, false, "identity token"},
		{"identity token, Docker", identity, "", true, nil, false, "identity token"},
	} {
		cfg := config.Default()
		cfg.DockerConfig = []config.DockerLogin{c.login}
		in := Inputs{Readers: readersOf(t, c.release), Learned: c.learned}
		if c.docker {
			in.Readers.Docker = &Docker{}
		}
		d := Compute(cfg, in)
		var header redact.Secret
		for _, dir := range d.Directories {
			if dir.Upstream == host && dir.Server != nil {
				header = dir.Server.Authorization
			}
		}
		var notices []string
		for _, n := range d.Notices {
			notices = append(notices, n.String())
		}
		told := strings.Join(notices, "\n")
		want := redact.Secret{}
		if c.header {
			want = hostsconf.BearerAuthorization(c.login.Password)
		}
		if header != want || (c.notice == "") != (told == "") || !strings.Contains(told, c.notice) {
			t.Errorf("%s, containerd %q: header %t, want %t; notices %q, want %q", c.name, c.release, !header.IsZero(), c.header, told, c.notice)
		}
	}
}
