//go:build e2e

package docker

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/berth-registry/berth/test/fakes/upstream"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestFacts checks how Docker Engine treats a hosts.toml, where Berth depends on it. The files are
// written by hand: a release of Docker Engine that behaves differently fails here, independent of
// Berth.
func TestFacts(t *testing.T) {
	run(t, slices.Concat(fileFacts(), loginFacts(), daemonJSONFacts(), buildFacts()))
}

// pulls are the capabilities of a mirror.
const pulls = `capabilities = ["pull", "resolve"]` + "\n"

// entry returns the table of one host; more are further lines.
func entry(url string, more ...string) string {
	return fmt.Sprintf("[host.%q]\n%s%s", url, pulls, strings.Join(more, ""))
}

// entryWithLogin returns the table of one host with the robot's login as its header.
func entryWithLogin(url string, more ...string) string {
	return entry(url, more...) +
		fmt.Sprintf("[host.%q.header]\nAuthorization = %q\n", url, basic(robot, password))
}

// serverWithLogin returns a file with a single host and the robot's login as its header.
func serverWithLogin(url string) string {
	return fmt.Sprintf("server = %q\n[header]\nAuthorization = %q\n", url, basic(robot, password))
}

// oauth answers as the token server of Docker Hub does to a form with a login.
func oauth(token string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"token": %q, "access_token": %q}`, token, token)
	})
}

// fileFacts: which files Docker Engine reads, when, and which hosts it asks then.
func fileFacts() []scenario {
	spelling := func(name, dir string) scenario {
		return scenario{name, func(s *fixture) {
			c, img := s.stocked("team/app:v1")
			m := s.mirror(c)
			s.hosts(dir, entry(m.url()))
			s.pull("private.corp:5000/team/app:v1", img)
			s.served(m, img)
		}}
	}
	return []scenario{
		{"prefix-mirror-with-a-login", func(s *fixture) {
			c, img := s.stocked("hub/" + repo)
			m := s.mirror(upstream.Basic(robot, password, c))
			s.keep(robot, password, m)
			s.hosts("docker.io", entryWithLogin(m.url()+"/v2/hub", "override_path = true\n"))
			s.pull(ref, img)
			s.served(m, img)
			s.authorization(m, basic(robot, password))
		}},
		{"default-is-honoured", func(s *fixture) {
			c, img := s.stocked("team/app:v1")
			m := s.mirror(c)
			s.hosts("_default", entry(m.url()))
			s.pull("quay.io/team/app:v1", img)
			s.served(m, img)
		}},
		spelling("port-after-a-colon", "private.corp:5000"),
		spelling("port-between-underscores", "private.corp_5000_"),
		{"read-at-each-pull", func(s *fixture) {
			c, img := s.stocked(repo)
			later := s.image("library/app:v2", c)
			first, second := s.mirror(c), s.mirror(c)
			s.hosts("docker.io", entry(first.url()))
			s.pull(ref, img)
			s.served(first, img)
			before := len(first.Requests())
			s.hosts("docker.io", entry(second.url()))
			s.pull("docker.io/library/app:v2", later)
			s.served(second, later)
			if after := len(first.Requests()); after != before {
				s.Errorf("the mirror that was removed received %d requests", after-before)
			}
		}},
		{"ca-of-docker-without-hosts-toml", func(s *fixture) {
			c, img := s.stocked("team/app:v1")
			d, ca := s.private("private.corp:5000", nil, c)
			s.pullFails("private.corp:5000/team/app:v1")
			s.certsFile("private.corp:5000/ca.crt", ca.PEM())
			s.pull("private.corp:5000/team/app:v1", img)
			s.served(d, img)
		}},
		{"client-certificate-of-docker-without-hosts-toml", func(s *fixture) {
			c, img := s.stocked("team/app:v1")
			clients := s.authority()
			d, ca := s.private("private.corp:5000", clients, c)
			s.certsFile("private.corp:5000/ca.crt", ca.PEM())
			s.pullFails("private.corp:5000/team/app:v1")
			pair, err := clients.Client("node-1")
			must(s.T, err)
			s.certsFile("private.corp:5000/client.cert", pair.CertPEM)
			s.certsFile("private.corp:5000/client.key", pair.KeyPEM)
			s.pull("private.corp:5000/team/app:v1", img)
			s.served(d, img)
		}},
		{"hosts-toml-switches-off-the-ca-that-it-does-not-name", func(s *fixture) {
			c, img := s.stocked("team/app:v1")
			d, ca := s.private("private.corp:5000", nil, c)
			s.certsFile("private.corp:5000/ca.crt", ca.PEM())
			s.hosts("private.corp:5000", "server = \"https://private.corp:5000\"\n")
			s.pullFails("private.corp:5000/team/app:v1")
			s.hosts("private.corp:5000", "server = \"https://private.corp:5000\"\nca = \"ca.crt\"\n")
			s.pull("private.corp:5000/team/app:v1", img)
			s.served(d, img)
		}},
	}
}

// loginFacts: which login reaches which host.
func loginFacts() []scenario {
	return []scenario{
		{"header-does-not-serve-bearer", func(s *fixture) {
			// The token server that the mirror names receives no login, unlike from containerd 2.1.
			c, img := s.stocked(repo)
			realm := s.mirror(upstream.Basic(robot, password, upstream.Token("granted")))
			m := s.mirror(upstream.Bearer(realm.url()+"/token", "granted", c))
			s.decoys[hub].answerWith(c)
			s.keep(robot, password, m)
			s.hosts("docker.io", entryWithLogin(m.url()))
			s.pull(ref, img)
			s.received(m, robot, password)
			s.authorization(realm)
			s.served(s.decoys[hub], img)
		}},
		{"login-of-the-client-goes-to-the-registry-alone", func(s *fixture) {
			c, img := s.stocked("team/app:v1")
			m := s.mirror(upstream.Basic("another", "login", c))
			s.decoys["quay.io"].answerWith(upstream.Basic(robot, password, c))
			s.keep(robot, password, s.decoys["quay.io"])
			s.hosts("quay.io", entry(m.url()))
			s.pullAs("quay.io/team/app:v1", &login{Username: robot, Password: password}, img)
			s.authorization(m) // none
			s.served(s.decoys["quay.io"], img)
			s.received(s.decoys["quay.io"], robot, password)
		}},
		{"login-of-the-client-goes-to-docker-hub-alone", func(s *fixture) {
			c, img := s.stocked(repo)
			realm := s.behindProxy("auth.docker.io", oauth("granted"))
			m := s.mirror(upstream.Basic("another", "login", c))
			s.decoys[hub].answerWith(upstream.Bearer("https://auth.docker.io/token", "granted", c))
			s.keep(robot, password, realm)
			s.hosts("docker.io", entry(m.url()))
			s.pullAs(ref, &login{robot, password, "https://index.docker.io/v1/"}, img)
			s.authorization(m) // none
			s.received(realm, robot, password)
			s.served(s.decoys[hub], img)
		}},
		{"header-and-login-of-the-client", func(s *fixture) {
			// The header answers before there is a challenge, so the client's login stays unused.
			c, img := s.stocked("team/app:v1")
			d := s.behindProxy("quay.io", upstream.Basic(robot, password, c))
			s.keep(robot, password, d)
			s.keep("alice", "of the client")
			s.hosts("quay.io", serverWithLogin("https://quay.io"))
			s.pullAs("quay.io/team/app:v1", &login{Username: "alice", Password: "of the client"}, img)
			s.served(d, img)
			s.authorization(d, basic(robot, password))
		}},
		{"push-needs-the-capability", func(s *fixture) {
			c, img := s.stocked(repo)
			s.decoys[hub].answerWith(c)
			s.pull(ref, img)
			s.served(s.decoys[hub], img)
			quay := s.decoys["quay.io"]
			quay.answerWith(upstream.NewContent())
			s.hosts("quay.io", "server = \"https://quay.io\"\n"+pulls)
			err := s.pushed(ref, "quay.io/team/app:v1", nil)
			if err == nil || !strings.Contains(err.Error(), "no push hosts") {
				s.Errorf("push to a host that lacks the capability: %v, want: no push hosts", err)
			}
			if n := len(quay.Requests()); n > 0 {
				s.Errorf("quay.io received %d requests", n)
			}
			s.hosts("quay.io", "server = \"https://quay.io\"\n"+
				"capabilities = [\"pull\", \"resolve\", \"push\"]\n")
			must(s.T, s.pushed(ref, "quay.io/team/app:v1", nil))
			quay.claimed = true
			if len(quay.Requests()) == 0 {
				s.Error("quay.io was not asked")
			}
		}},
		{"push-goes-to-the-first-host-with-the-capability", func(s *fixture) {
			c, img := s.stocked(repo)
			s.decoys[hub].answerWith(c)
			s.pull(ref, img)
			s.served(s.decoys[hub], img)
			m := s.mirror(upstream.NewContent())
			s.hosts("quay.io", fmt.Sprintf("[host.%q]\n", m.url())) // no capabilities: all
			must(s.T, s.pushed(ref, "quay.io/team/app:v1", nil))
			m.claimed = true
			if len(m.Requests()) == 0 {
				s.Error("the mirror was not asked")
			}
		}},
		{"push-with-a-header", func(s *fixture) {
			c, img := s.stocked(repo)
			s.decoys[hub].answerWith(c)
			s.pull(ref, img)
			s.served(s.decoys[hub], img)
			quay := s.decoys["quay.io"]
			quay.answerWith(upstream.Basic(robot, password, upstream.NewContent()))
			s.keep(robot, password, quay)
			s.hosts("quay.io", serverWithLogin("https://quay.io"))
			must(s.T, s.pushed(ref, "quay.io/team/app:v1", nil))
			s.authorization(quay, basic(robot, password))
		}},
	}
}

// daemonJSONFacts: what registry-mirrors and insecure-registries of daemon.json do beside a
// hosts.toml.
func daemonJSONFacts() []scenario {
	return []scenario{
		{"registry-mirrors-get-the-login-of-docker-hub", func(s *fixture) {
			// A leak: the login of a single host goes to each of registry-mirrors as well.
			c, img := s.stocked(repo)
			m := s.mirror(upstream.Status(http.StatusNotFound))
			s.decoys[hub].answerWith(upstream.Basic(robot, password, c))
			s.keep(robot, password, s.decoys[hub], m)
			s.daemonJSON(settings{Mirrors: []string{m.url()}})
			s.hosts("docker.io", serverWithLogin("https://"+hub))
			s.pull(ref, img)
			s.served(s.decoys[hub], img)
			s.authorization(m, basic(robot, password))
		}},
		{"registry-mirrors-get-the-login-of-a-single-mirror", func(s *fixture) {
			c, img := s.stocked(repo)
			m := s.mirror(upstream.Status(http.StatusNotFound))
			ours := s.behindProxy("mirror.corp", upstream.Basic(robot, password, c))
			s.keep(robot, password, ours, m)
			s.daemonJSON(settings{Mirrors: []string{m.url()}})
			s.hosts("docker.io", serverWithLogin("https://mirror.corp"))
			s.pull(ref, img)
			s.served(ours, img)
			s.authorization(m, basic(robot, password))
		}},
		{"registry-mirrors-do-not-count-beside-two-hosts", func(s *fixture) {
			c, img := s.stocked(repo)
			m := s.mirror(upstream.Status(http.StatusNotFound)) // never asked
			ours := s.behindProxy("mirror.corp", upstream.Basic(robot, password, c))
			s.keep(robot, password, ours)
			s.daemonJSON(settings{Mirrors: []string{m.url()}})
			s.hosts("docker.io", entryWithLogin("https://mirror.corp"))
			s.pull(ref, img)
			s.served(ours, img)
		}},
		{"registry-mirrors-concern-docker-hub-alone", func(s *fixture) {
			c, img := s.stocked("team/app:v1")
			m := s.mirror(upstream.Status(http.StatusNotFound)) // never asked
			s.decoys["quay.io"].answerWith(upstream.Basic(robot, password, c))
			s.keep(robot, password, s.decoys["quay.io"])
			s.daemonJSON(settings{Mirrors: []string{m.url()}})
			s.hosts("quay.io", serverWithLogin("https://quay.io"))
			s.pull("quay.io/team/app:v1", img)
			s.served(s.decoys["quay.io"], img)
		}},
		{"insecure-registries-send-the-login-over-http", func(s *fixture) {
			// The file says https; the server speaks http.
			c, img := s.stocked("team/app:v1")
			d := s.mirror(upstream.Basic(robot, password, c))
			s.keep(robot, password, d)
			s.hosts(d.Addr(), serverWithLogin("https://"+d.Addr()))
			s.pullFails(d.Addr() + "/team/app:v1")
			if n := len(d.Requests()); n > 0 {
				s.Errorf("%d requests came over http without insecure-registries", n)
			}
			s.daemonJSON(settings{Insecure: []string{d.Addr()}})
			s.pull(d.Addr()+"/team/app:v1", img)
			s.served(d, img)
			s.authorization(d, basic(robot, password))
		}},
		{"insecure-registries-take-any-certificate", func(s *fixture) {
			c, img := s.stocked("team/app:v1")
			d, _ := s.private("private.corp:5000", nil, upstream.Basic(robot, password, c))
			s.keep(robot, password, d)
			s.hosts("private.corp:5000", serverWithLogin("https://private.corp:5000"))
			s.pullFails("private.corp:5000/team/app:v1")
			s.daemonJSON(settings{Insecure: []string{"private.corp:5000"}})
			s.pull("private.corp:5000/team/app:v1", img)
			s.served(d, img)
			s.authorization(d, basic(robot, password))
		}},
		{"insecure-registries-do-not-count-beside-two-hosts", func(s *fixture) {
			c, img := s.stocked("team/app:v1")
			s.private("private.corp:5000", nil, c) // never asked: its certificate is refused
			s.decoys["quay.io"].answerWith(c)
			s.daemonJSON(settings{Insecure: []string{"private.corp:5000"}})
			s.keep(robot, password)
			s.hosts("private.corp:5000", entryWithLogin("https://private.corp:5000")+
				entry("https://quay.io"))
			s.pull("private.corp:5000/team/app:v1", img)
			s.served(s.decoys["quay.io"], img)
		}},
		{"registry-mirrors-on-loopback-take-any-certificate-of-docker-hub", func(s *fixture) {
			// Loopback is always insecure, and the mirror shares its client with Docker Hub.
			c, img := s.stocked(repo)
			m := s.mirror(upstream.Status(http.StatusNotFound))
			impostor, _ := s.private(hub+":443", nil, c)
			s.pullFails(ref)
			s.daemonJSON(settings{Mirrors: []string{m.url()}})
			s.pull(ref, img)
			m.claimed = true
			s.served(impostor, img)
		}},
	}
}

// noLogins is a config.json of the docker command.
const noLogins = `{}`

// buildFacts: docker build, that is BuildKit in dockerd.
func buildFacts() []scenario {
	return []scenario{
		{"build-reads-the-same-files", func(s *fixture) {
			c, img := s.stocked("hub/library/base1:v1")
			m := s.mirror(upstream.Basic(robot, password, c))
			s.keep(robot, password, m)
			s.hosts("docker.io", entryWithLogin(m.url()+"/v2/hub", "override_path = true\n"))
			s.buildFrom("docker.io/library/base1:v1", noLogins)
			s.served(m, img)
			s.authorization(m, basic(robot, password))
		}},
		{"build-remembers-the-hosts-of-a-repository", func(s *fixture) {
			c, img := s.stocked("library/base2:v1")
			later, other := s.image("library/base2:v2", c), s.image("library/base3:v1", c)
			first, second := s.mirror(c), s.mirror(c)
			s.hosts("docker.io", entry(first.url()))
			s.buildFrom("docker.io/library/base2:v1", noLogins)
			s.served(first, img)
			s.hosts("docker.io", entry(second.url()))
			s.buildFrom("docker.io/library/base2:v2", noLogins)
			s.served(first, later) // not the second
			s.buildFrom("docker.io/library/base3:v1", noLogins)
			s.served(second, other)
		}},
		{"build-asks-the-client-for-the-login-of-each-host", func(s *fixture) {
			c, img := s.stocked("library/base4:v1")
			m := s.mirror(upstream.Basic(robot, password, c))
			s.keep(robot, password, m)
			s.hosts("docker.io", entry(m.url()))
			s.buildFrom("docker.io/library/base4:v1", fmt.Sprintf(`{"auths": {%q: {"auth": %q}}}`,
				m.Addr(), strings.TrimPrefix(basic(robot, password), "Basic ")))
			s.served(m, img)
			s.received(m, robot, password)
		}},
		{"build-sends-no-header-to-a-token-server", func(s *fixture) {
			c, img := s.stocked("library/base5:v1")
			realm := s.mirror(upstream.Token("granted"))
			m := s.mirror(upstream.Bearer(realm.url()+"/token", "granted", c))
			s.keep(robot, password, m)
			s.hosts("docker.io", entryWithLogin(m.url()))
			s.buildFrom("docker.io/library/base5:v1", noLogins)
			s.served(m, img)
			s.authorization(realm) // none
		}},
	}
}
