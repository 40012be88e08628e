package agent

import (
	"testing"

	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/test/nodetest"
)

func TestUsesDockerHub(t *testing.T) {
	for text, want := range map[string]bool{
		"mirrors: [{upstream: docker.io, endpoints: [{url: a.corp}]}]\n":                                                       true,
		"mirrors: [{upstream: docker.io, endpoints: [{url: a.corp}], upstreamFallback: false}]\n":                              false,
		"mirrors: [{upstream: quay.io, endpoints: [{url: a.corp}]}]\n":                                                         false,
		"defaultRegistry: {url: a.corp}\n":                                                                                     true,
		"defaultRegistry: {url: a.corp, upstreamFallback: false}\n":                                                            false,
		"registries: [{host: docker.io, username: u, password: p}]\n":                                                          true,
		"registries: [{host: docker.io, username: u, password: p}]\nhealth: {mode: \"off\"}\n":                                 false,
		"registries: [{host: docker.io, username: u, password: p}]\ndefaultRegistry: {url: a.corp, upstreamFallback: false}\n": false,
	} {
		cfg, _, err := config.Parse("config.yaml", []byte(nodetest.Head+text))
		if err != nil {
			t.Fatal(err)
		}
		registries, _ := config.Logins(cfg)
		if got := usesDockerHub(cfg, len(registries) > 0); got != want {
			t.Errorf("%v, want %v:\n%s", got, want, text)
		}
	}
}
