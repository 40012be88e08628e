package agent

import (
	"slices"
	"testing"

	"github.com/berth-registry/berth/agent/config"
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
	cfg.DockerConfig = []config.DockerLogin{{Host: "a.corp", Username: "u"}, {Host: "a.corp/part", Username: "u"}, {Host: "ghcr.io/part", Username: "u"}}
	want := []string{"a.corp/part", "docker.io", "ghcr.io", "ghcr.io/part", "registry.corp:5000/team"}
	if got := KubeletImages(cfg); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
