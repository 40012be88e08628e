package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/berth-registry/berth/test/e2e/registry"
	"github.com/berth-registry/berth/test/fakes/upstream"
)

// TestCredentialHelper pulls with logins that a credential helper gives: in a header, and through the
// credential provider.
func TestCredentialHelper(t *testing.T) {
	p := programs{berth: berthBinary(t), provider: goBuild(t, "./cmd/berth-credential-provider")}
	onEachContainerd(t, p, []scenario{
		{"mirror", func(s *fixture) {
			const username, password = "puller", "of the helper"
			r := s.registry(registry.Options{Username: username, Password: password})
			img := s.image(repo, r)
			s.apply(mirrorOf("docker.io", r.URL()) + only + s.helperLogin(r.Addr(), username, password))
			s.pull(ref, img)
		}},
		{"token-server", func(s *fixture) {
			form := loginForm{"helper", "robot", "short-lived"}
			const host = "registry.example.com"
			c := upstream.NewContent()
			img := s.image("team/app:v1", c)
			d := s.behindProxy(host, upstream.Bearer("https://auth.example.com/token", "good", c))
			tokens := s.behindProxy("auth.example.com", tokenServer(form.username, form.password))
			s.claimed[d], s.claimed[tokens] = true, true
			s.apply(s.helperLogin(host, form.username, form.password))
			s.pullAs(host+"/team/app:v1", s.wantAnswer(host+"/team/app", form), img)
		}},
		{"rotated-and-refused", func(s *fixture) {
			// The registry takes the newest password alone. Another program is asked at once.
			content := upstream.NewContent()
			var current atomic.Pointer[http.Handler]
			take := func(password string) {
				h := upstream.Basic("puller", password, content)
				current.Store(&h)
			}
			take("first")
			d := s.mirror(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { (*current.Load()).ServeHTTP(w, r) }))
			s.claimed[d] = true
			for i, password := range []string{"first", "second", "third"} {
				take(password)
				name := fmt.Sprintf("team/app%d:v1", i)
				img := s.image(name, content)
				s.apply(s.helperLogin(d.Addr(), "puller", password))
				s.pull(d.Addr()+"/"+name, img)
			}
			// A helper that fails: the header goes, and no login comes.
			before := len(d.Requests())
			s.writeConfig(s.helperLogin(d.Addr(), "", ""))
			s.run(1, "apply", "--config", s.config)
			s.secretsAreKept()
			s.pullFails(d.Addr() + "/team/app9:v1")
			s.authorization(d.Requests()[before:])
		}},
	})
}

// helperLogin is a registry whose login a new credential helper gives; one without a password fails.
func (s *fixture) helperLogin(host, username, password string) string {
	s.Helper()
	program := filepath.Join(s.TempDir(), "docker-credential-test")
	script := fmt.Sprintf("#!/bin/sh\nread server\nprintf '{\"ServerURL\":\"%%s\",\"Username\":%q,\"Secret\":%q}' \"$server\"\n", username, password)
	if password == "" {
		script = "#!/bin/sh\necho secret >&2\nexit 7\n"
	}
	if err := os.WriteFile(program, []byte(script), 0o700); err != nil {
		s.Fatal(err)
	}
	return fmt.Sprintf("registries:\n- {host: %q, credentialHelper: %q}\n", host, program)
}
