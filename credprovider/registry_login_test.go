package credprovider

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/berth-registry/berth/internal/redact"
)

// The login of a registry is the one that Decide gives for each of its images. The control is the
// login that is configured for the host, without a look at the directories.
func TestRegistryLogin(t *testing.T) {
	pool := []string{"a.corp", "b.corp", "c.corp:5000", "d.corp"}
	paths := []string{"app", "team/app", "team", "team-evil/app", "hub/app"}
	login := func(host, path, password string) Login {
		return Login{Host: host, Path: path, Username: "u", Password: redact.New(password)}
	}
	seed := rand.Uint64()
	rnd := rand.New(rand.NewPCG(seed, 2))
	pick := func(from []string) string { return from[rnd.IntN(len(from))] }
	given, caught := 0, 0
	for i := range 5000 {
		var r Rules
		for _, host := range pool {
			if rnd.IntN(3) > 0 {
				r.Registries = append(r.Registries, login(host, "", pick([]string{"one", "two"})))
			}
			if rnd.IntN(6) == 0 {
				r.DockerConfig = append(r.DockerConfig, login(host, "team", "three"))
			}
		}
		for _, upstream := range append([]string{"*"}, pool...) {
			if rnd.IntN(3) > 0 {
				continue
			}
			d := Directory{Upstream: upstream, AndUpstream: rnd.IntN(2) == 0}
			for range 1 + rnd.IntN(2) {
				d.Hosts = append(d.Hosts, Host{Host: pick(pool), Path: pick([]string{"", "", "hub"}), Insecure: rnd.IntN(9) == 0})
			}
			r.Directories = append(r.Directories, d)
		}
		registry := pick(pool)
		p := Provider{Rules: r}
		whole, err := p.RegistryLogin(registry)
		configured, found := NewLogins(r.Registries, r.DockerConfig).For(registry, "https", "")
		wrong := false
		for _, path := range paths {
			decision, planErr := r.Decide(registry + "/" + path)
			same := planErr == nil && decision.Login != nil && decision.Login.Password == whole.Password
			if err == nil && !same {
				t.Fatalf("seed %d, round %d: %s has the login %v for every image, and for %s %v\n%+v", seed, i, registry, whole, path, planErr, r)
			}
			wrong = wrong || found && (planErr != nil || decision.Login == nil || decision.Login.Password != configured.Password)
		}
		if err == nil {
			given++
		}
		if wrong {
			caught++
		}
	}
	if given < 500 || caught < 500 {
		t.Errorf("%d logins were given, and the control was caught %d times: the test shows little", given, caught)
	}
}

// An error names the registry and what helps.
func TestRegistryLoginIsWithheld(t *testing.T) {
	one := Login{Host: "a.corp", Username: "u", Password: redact.New("hunter2")}
	for _, c := range []struct {
		name, want string
		rules      Rules
	}{
		{"another host", "credential of a.corp withheld for a.corp: containerd would offer it to m.corp", Rules{
			Registries: []Login{one}, Directories: []Directory{{Upstream: "a.corp", Hosts: []Host{{Host: "m.corp"}}, AndUpstream: true}}}},
		{"a part of it", "login of a.corp is not for every image of a.corp", Rules{
			Registries: []Login{one, {Host: "a.corp", Path: "team", Username: "v", Password: redact.New("hunter2")}}}},
		{"nothing", ErrNotServed.Error(), Rules{}},
	} {
		p := Provider{Rules: c.rules}
		_, err := p.RegistryLogin("a.corp")
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	p := Provider{}
	if _, err := p.RegistryLogin(usEast); !errors.Is(err, ErrNotServed) {
		t.Errorf("ECR: %v", err)
	}
}
