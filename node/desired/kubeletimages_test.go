package desired

import (
	"slices"
	"strings"
	"testing"

	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/credprovider"
	"github.com/berth-registry/berth/node/probestate"
)

func TestKubeletImages(t *testing.T) {
	cfg, _, err := config.Parse("config.yaml", []byte(`apiVersion: berth/v1alpha1
kind: RegistryConfig
registries:
- {host: quay.io, username: u, password: p}
- {host: ghcr.io, username: u, password: p, auth: token}
- {host: docker.io, username: u, password: p, auth: token}
- {host: "registry.corp:5000/team", username: u, password: p}
- {host: token.corp, auth: token}
`))
	if err != nil {
		t.Fatal(err)
	}
	cfg.DockerConfig = []config.DockerLogin{{Host: "a.corp", Username: "u"}, {Host: "a.corp/part", Username: "u"}, {Host: "ghcr.io/part", Username: "u"},
		{Host: "ghcr.io/identity", Username: credprovider.TokenUser}, {Host: "bearer.corp/part", Bearer: true}}
	want := []string{"a.corp/part", "docker.io", "ghcr.io", "ghcr.io/part", "registry.corp:5000/team"}
	for release, more := range map[string][]string{"2.4.2": nil, "1.7.28": {"quay.io"}, "": {"quay.io"}} {
		want := slices.Sorted(slices.Values(slices.Concat(want, more)))
		if got := KubeletImages(cfg, Inputs{Readers: readersOf(t, release)}); !slices.Equal(got, want) {
			t.Errorf("containerd %q: %q, want %q", release, got, want)
		}
	}
	learned := Inputs{Readers: readersOf(t, "1.7.28"), Learned: []probestate.Fact{
		{URL: "https://a.corp/v2", Basic: probestate.Refused, Realm: "https://a.corp"}, {URL: "https://quay.io/v2", Basic: probestate.Accepted},
	}}
	if got := KubeletImages(cfg, learned); !slices.Contains(got, "a.corp") || slices.Contains(got, "quay.io") {
		t.Errorf("what was learned does not count: %q", got)
	}
}

// Only whole hosts that no header serves may be in kubelet's own config.json, and never ECR.
func TestKubeletLogins(t *testing.T) {
	const ecr = "111122223333.dkr.ecr.us-east-1.amazonaws.com"
	cfg, _, err := config.Parse("config.yaml", []byte(`apiVersion: berth/v1alpha1
kind: RegistryConfig
registries:
- {host: quay.io, username: u, password: p}
- {host: basic.corp, username: u, password: p, auth: basic}
- {host: docker.io, username: u, password: p, auth: token}
- {host: "registry.corp:5000/team", username: u, password: p, auth: token}
- {host: "[2001:db8::1]", username: u, password: p, auth: token}
- {host: "[2001:db8::1]:5000", username: u, password: p, auth: token}
- {host: token.corp, auth: token}
- {host: 111122223333.dkr.ecr.eu-west-1.amazonaws.com}
`))
	if err != nil {
		t.Fatal(err)
	}
	cfg.DockerConfig = []config.DockerLogin{{Host: ecr, Username: "AWS"}, {Host: ecr + "/team", Username: "AWS"}, {Host: "a.corp", Username: "u"}}
	always := []string{"[2001:db8::1]:5000", "docker.io"}
	for release, more := range map[string][]string{"2.4.2": nil, "1.7.28": {"a.corp", "quay.io"}, "": {"a.corp", "quay.io"}} {
		in := Inputs{Readers: readersOf(t, release), Learned: []probestate.Fact{
			{URL: "https://a.corp/v2", Basic: probestate.Refused, Realm: "https://a.corp"}, {URL: "https://" + ecr + "/v2", Basic: probestate.Refused},
		}}
		hosts, notices := KubeletLogins(cfg, Compute(cfg, in))
		if want := slices.Sorted(slices.Values(slices.Concat(always, more))); !slices.Equal(hosts, want) {
			t.Errorf("containerd %q: %q, want %q", release, hosts, want)
		}
		if len(notices) != 2 || notices[0].Subject != "[2001:db8::1]" || !strings.Contains(notices[1].Message, "registry.corp:5000/team;") {
			t.Errorf("containerd %q: %v", release, notices)
		}
	}
}
