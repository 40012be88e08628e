package credprovider

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/berth-registry/berth/credprovider/ecr"
	"github.com/berth-registry/berth/credprovider/ecr/client"
	"github.com/berth-registry/berth/internal/proxy"
	"github.com/berth-registry/berth/internal/redact"
)

// Explain returns the credential of each host, and the one that kubelet gets.
func TestExplain(t *testing.T) {
	n := newNode(t)
	for name, c := range map[string]struct {
		image     string
		dirs      []Directory
		directory string
		hosts     string // host, rule, source, user
		withheld  bool
		rule      string // of what kubelet gets
	}{
		"a login": {image: "registry.corp/team/app", hosts: "registry.corp=login registry.corp/team//team", rule: "login registry.corp/team"},
		"ECR": {image: usEast + "/app", hosts: usEast + "=ecr 111122223333 us-east-1/instance profile/AWS",
			rule: "ecr 111122223333 us-east-1, instance profile"},
		"nothing": {image: "ghcr.io/x", hosts: "ghcr.io=//"},
		"mirrors": {image: "quay.io/x", dirs: []Directory{{Upstream: "quay.io", Hosts: hosts("m1.corp", usEast, "free.corp")}}, directory: "quay.io",
			hosts: "m1.corp=login m1.corp//same " + usEast + "=ecr 111122223333 us-east-1/instance profile/AWS free.corp=//", withheld: true},
		"default": {image: "m1.corp/x", dirs: []Directory{{Upstream: "*", Hosts: hosts("m2.corp"), AndUpstream: true}}, directory: "*",
			hosts: "m2.corp=login m2.corp//same m1.corp=login m1.corp//same", rule: "login m2.corp"},
	} {
		p := &Provider{Rules: shared(), Tokens: n.Tokens}
		p.Rules.Directories = c.dirs
		e, err := p.Explain(context.Background(), c.image)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var told []string
		for _, h := range e.Hosts {
			told = append(told, h.Host.Host+"="+h.Rule+"/"+h.Source+"/"+h.Username)
			if (h.Username != "") == h.Password.IsZero() || (h.Source != "") == h.Expires.IsZero() || h.Err != nil {
				t.Errorf("%s: %+v", name, h)
			}
		}
		_, withheld := errors.AsType[*WithheldError](e.Err)
		if got := strings.Join(told, " "); got != c.hosts || e.Directory != c.directory || withheld != c.withheld {
			t.Errorf("%s: directory %q, withheld %t, %s", name, e.Directory, withheld, got)
		}
		if (e.Credential == nil) != (c.rule == "") || e.Credential != nil && (e.Credential.Rule != c.rule || e.Err != nil) {
			t.Errorf("%s: kubelet gets %+v, %v", name, e.Credential, e.Err)
		}
	}
	p := &Provider{Rules: shared(), Tokens: n.Tokens}
	if _, err := p.Explain(context.Background(), "a//b"); err == nil {
		t.Error("a name that is none is explained")
	}
}

// Requests to AWS use the proxy of the rules, those of the shared chain and of a registry's own.
func TestRulesTokensUseTheProxy(t *testing.T) {
	var asked atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Host == "ecr.test" {
			asked.Add(1)
		}
		w.WriteHeader(http.StatusBadGateway)
	}))
	defer server.Close()
	static := []ecr.Source{{Static: &ecr.StaticKeys{AccessKeyID: redact.New("A"), SecretAccessKey: redact.New("B")}}}
	rules := Rules{
		Proxy:      proxy.Settings{HTTP: redact.New(server.URL), HTTPS: redact.New(server.URL)},
		ECRSources: static, ECRChains: map[string][]ecr.Source{"own": static},
	}
	env := map[string]string{"AWS_ENDPOINT_URL_ECR": "http://ecr.test", "AWS_EC2_METADATA_DISABLED": "true"}
	tokens := rules.Tokens(t.TempDir(), ecr.Options{Getenv: func(name string) string { return env[name] }, Client: client.New(client.Options{Proxy: rules.Proxy, Getenv: func(name string) string { return env[name] }})})
	for _, chain := range []*ecr.Chain{tokens.Chain, tokens.Chains["own"]} {
		before := asked.Load()
		res := chain.Fetch(context.Background(), ecr.Request{Registry: registry(t, usEast), Hasty: true})
		if asked.Load() == before {
			t.Errorf("the proxy was not asked: %v", res.Err)
		}
	}
}
