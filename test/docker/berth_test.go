//go:build e2e

package docker

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/berth-registry/berth/test/fakes/upstream"
	"github.com/berth-registry/berth/test/filetree"
	"github.com/berth-registry/berth/test/images/served"
	"github.com/berth-registry/berth/test/sample"
)

// TestBerth writes a RegistryConfig, runs berth apply on a node whose dockerd answers, and pulls,
// pushes and builds.
func TestBerth(t *testing.T) {
	run(t, slices.Concat(mirrorScenarios(), loginScenarios(), tlsScenarios(), changeScenarios(), rkeScenarios()))
}

// berthBinary is the program under test.
func berthBinary(t *testing.T) string {
	t.Helper()
	path := os.Getenv("BERTH_BIN")
	if path == "" {
		t.Fatal("BERTH_BIN is not set; run: make e2e-docker")
	}
	return path
}

// mirrorOf returns a RegistryConfig with one mirror.
func mirrorOf(upstream string, endpoints ...string) string {
	config := fmt.Sprintf("mirrors:\n- upstream: %q\n  endpoints:\n", upstream)
	for _, url := range endpoints {
		config += fmt.Sprintf("  - url: %q\n", url)
	}
	return config
}

// only is added to a mirror whose upstream must never be asked.
const only = "  upstreamFallback: false\n"

// withLogin returns an entry of registries with the robot's login, which the registry is known to
// take with each request.
func withLogin(host string) string {
	return fmt.Sprintf("- {host: %q, username: %s, password: %q, auth: basic}\n", host, robot, password)
}

// unprobed is withLogin for a registry about which nothing is known.
func unprobed(host string) string {
	return strings.Replace(withLogin(host), ", auth: basic", "", 1)
}

// withoutHeader checks that Docker's hosts.toml of a registry has no login, and that berth says what
// serves in its place.
func (s *fixture) withoutHeader(registry, said string) {
	s.Helper()
	if text := s.hostsFile(registry); strings.Contains(text, "Authorization") {
		s.Errorf("a header for Docker:\n%s", text)
	}
	if !strings.Contains(said, "docker login") {
		s.Errorf("apply does not name docker login:\n%s", said)
	}
}

func (s *fixture) configFile() string { return filepath.Join(s.dir, "config.yaml") }

// writeConfig writes a RegistryConfig, given without its first two lines.
func (s *fixture) writeConfig(config string) {
	s.Helper()
	config = "apiVersion: berth/v1alpha1\nkind: RegistryConfig\n" + config
	must(s.T, os.WriteFile(s.configFile(), []byte(config), 0o600))
}

// apply applies a RegistryConfig, given without its first two lines, and returns what berth says.
func (s *fixture) apply(config string) string {
	s.Helper()
	s.writeConfig(config)
	return s.berth(0, "apply", "--config", s.configFile())
}

// berth runs a verb on the node of the scenario and checks its exit status.
func (s *fixture) berth(want int, args ...string) string {
	s.Helper()
	cmd := exec.CommandContext(s.Context(), berthBinary(s.T), append(args, "--root", s.root)...)
	cmd.Env = s.env
	raw, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		s.Fatal(err)
	}
	output := string(raw)
	for _, secret := range s.secrets {
		if strings.Contains(output, secret.password) {
			s.Errorf("berth %s shows the login of %s:\n%s", args[0], secret.username, output)
		}
	}
	if got := cmd.ProcessState.ExitCode(); got != want {
		config, _ := os.ReadFile(s.configFile()) // for the message alone
		s.Fatalf("berth %s: exit status %d, want %d\n%s\nconfig:\n%s", args[0], got, want, output, config)
	}
	return output
}

// mirrorScenarios: where an image comes from.
func mirrorScenarios() []scenario {
	return []scenario{
		{"tag-digest-and-index", func(s *fixture) {
			c, img := s.stocked("hub/" + repo)
			m := s.mirror(c)
			index, err := sample.NewIndex()
			must(s.T, err)
			s.store("hub/library/index:v1", index, c)
			byDigest := s.image("hub/library/other:v1", c)
			s.apply(mirrorOf("docker.io", m.url()+"/hub"))
			s.pull(ref, img)
			s.pull("docker.io/library/other@"+byDigest.Digest, byDigest)
			s.pull("docker.io/library/index:v1", index)
			s.served(m, img)
			s.served(m, byDigest)
			s.served(m, index)
		}},
		{"second-mirror", func(s *fixture) {
			c, img := s.stocked(repo)
			first, second := s.mirror(upstream.Status(http.StatusNotFound)), s.mirror(c)
			s.apply(mirrorOf("docker.io", first.url(), second.url()))
			s.pull(ref, img)
			s.served(second, img)
			first.claimed = true
		}},
		{"upstream-behind-a-mirror", func(s *fixture) {
			c, img := s.stocked(repo)
			m := s.mirror(upstream.Status(http.StatusNotFound))
			s.decoys[hub].answerWith(c)
			s.apply(mirrorOf("docker.io", m.url()))
			s.pull(ref, img)
			s.served(s.decoys[hub], img)
			m.claimed = true
		}},
		{"mirror-alone", func(s *fixture) {
			c, img := s.stocked(repo)
			m := s.mirror(c)
			s.apply(mirrorOf("docker.io", m.url()) + only)
			s.pull(ref, img)
			s.served(m, img)
			s.pullFails("docker.io/library/missing:v1") // Docker Hub must not be asked
		}},
		{"every-registry", func(s *fixture) {
			c, img := s.stocked("team/app:v1")
			m := s.mirror(c)
			s.apply(mirrorOf("*", m.url()))
			s.pull("quay.io/team/app:v1", img)
			s.served(m, img)
		}},
		{"registry-with-a-port", func(s *fixture) {
			c, img := s.stocked("team/app:v1")
			m := s.mirror(c)
			s.apply(mirrorOf("private.corp:5000", m.url()))
			s.pull("private.corp:5000/team/app:v1", img)
			s.served(m, img)
		}},
		{"images-serve", serveDirectory},
		{"build", func(s *fixture) {
			c, img := s.stocked("hub/library/mirrored:v1")
			m := s.mirror(upstream.Basic(robot, password, c))
			s.keep(robot, password, m)
			s.apply(mirrorOf("docker.io", m.url()+"/hub") + "registries:\n" + withLogin(m.Addr()))
			s.buildFrom("docker.io/library/mirrored:v1", noLogins)
			s.served(m, img)
			s.authorization(m, basic(robot, password))
		}},
	}
}

// loginScenarios: logins reach their own hosts.
func loginScenarios() []scenario {
	return []scenario{
		{"login-at-a-mirror", func(s *fixture) {
			c, img := s.stocked(repo)
			m := s.mirror(upstream.Basic(robot, password, c))
			s.keep(robot, password, m)
			s.apply(mirrorOf("docker.io", m.url()) + "registries:\n" + withLogin(m.Addr()))
			s.pull(ref, img)
			s.served(m, img)
			s.authorization(m, basic(robot, password))
		}},
		{"login-at-a-registry", func(s *fixture) {
			c, img := s.stocked("team/app:v1")
			quay := s.decoys["quay.io"]
			quay.answerWith(upstream.Basic(robot, password, c))
			s.keep(robot, password, quay)
			s.apply("registries:\n" + withLogin("quay.io"))
			s.pull("quay.io/team/app:v1", img)
			s.served(quay, img)
			s.authorization(quay, basic(robot, password))
		}},
		{"token-registry-as-mirror", func(s *fixture) {
			// Docker asks a token server without the header, so none is written.
			c, img := s.stocked(repo)
			realm := s.mirror(upstream.Basic(robot, password, upstream.Token("granted")))
			m := s.mirror(upstream.Bearer(realm.url()+"/token", "granted", c))
			s.decoys[hub].answerWith(c)
			s.keep(robot, password, m) // apply asks the mirror itself what it accepts
			said := s.apply(mirrorOf("docker.io", m.url()) + "registries:\n" + unprobed(m.Addr()))
			s.withoutHeader("docker.io", said)
			s.received(m, robot, password)
			s.pull(ref, img)
			s.authorization(realm)
			s.served(s.decoys[hub], img)
		}},
		{"token-registry-behind-a-mirror", func(s *fixture) {
			// The login of the client serves, and reaches the token server alone.
			c, img := s.stocked("team/app:v1")
			m := s.mirror(upstream.Status(http.StatusNotFound))
			quay := s.decoys["quay.io"]
			realm := s.behindProxy("auth.quay.io", oauth("granted"))
			quay.answerWith(upstream.Bearer("https://auth.quay.io/token", "granted", c))
			s.keep(robot, password, realm)
			said := s.apply(mirrorOf("quay.io", m.url()) + "registries:\n" + unprobed("quay.io"))
			s.withoutHeader("quay.io", said)
			s.pullAs("quay.io/team/app:v1", &login{Username: robot, Password: password}, img)
			s.served(quay, img)
			s.authorization(m)
			s.received(realm, robot, password)
		}},
		{"push-to-a-registry-with-a-login-and-a-mirror", func(s *fixture) {
			c, img := s.stocked(repo)
			m := s.mirror(c)
			quay := s.decoys["quay.io"]
			quay.answerWith(upstream.Basic(robot, password, upstream.NewContent()))
			s.keep(robot, password, quay)
			s.apply(mirrorOf("quay.io", m.url()) + strings.TrimPrefix(mirrorOf("docker.io", m.url()), "mirrors:\n") +
				"registries:\n" + withLogin("quay.io"))
			s.pull(ref, img)
			s.served(m, img)
			pulled := len(m.Requests())
			must(s.T, s.pushed(ref, "quay.io/team/app:v1", nil))
			s.authorization(quay, basic(robot, password))
			if n := len(m.Requests()) - pulled; n > 0 {
				s.Errorf("the push sent %d requests to the mirror", n)
			}
		}},
		{"registry-mirrors-get-no-login", func(s *fixture) {
			// Docker would copy the header of a single host: see TestFacts.
			c, img := s.stocked(repo)
			theirs := s.mirror(upstream.Status(http.StatusNotFound))
			ours := s.mirror(c)
			s.keep(robot, password, ours)
			s.daemonJSON(settings{Mirrors: []string{theirs.url()}})
			said := s.apply(mirrorOf("docker.io", ours.url()) + only + "registries:\n" + withLogin(ours.Addr()))
			if !strings.Contains(said, "registry-mirrors") {
				s.Errorf("berth apply does not say that the login is left out:\n%s", said)
			}
			s.pull(ref, img)
			s.served(ours, img)
			s.authorization(theirs) // none
		}},
		{"insecure-registries-get-no-login", func(s *fixture) {
			d, _ := s.private("private.corp:5000", nil, upstream.Basic(robot, password, upstream.NewContent()))
			s.keep(robot, password)
			s.daemonJSON(settings{Insecure: []string{"private.corp:5000"}})
			said := s.apply("registries:\n" + withLogin("private.corp:5000"))
			if !strings.Contains(said, "insecure-registries") {
				s.Errorf("berth apply does not say that the login is left out:\n%s", said)
			}
			s.pullFails("private.corp:5000/team/app:v1")
			s.authorization(d) // none
		}},
		{"login-of-the-client-beside-that-of-a-mirror", func(s *fixture) {
			c, img := s.stocked("team/app:v1")
			m := s.mirror(upstream.Status(http.StatusNotFound))
			quay := s.decoys["quay.io"]
			quay.answerWith(upstream.Basic("client", "of the client", c))
			s.keep(robot, password, m)
			s.keep("client", "of the client", quay)
			s.apply(mirrorOf("quay.io", m.url()) + "registries:\n" + withLogin(m.Addr()))
			s.pullAs("quay.io/team/app:v1", &login{Username: "client", Password: "of the client"}, img)
			s.served(quay, img)
			s.authorization(m, basic(robot, password))
		}},
	}
}

const private = "private.corp:5000"

// tlsScenarios: certificates, in Docker's own layout and in the RegistryConfig.
func tlsScenarios() []scenario {
	var all []scenario
	for _, dir := range []string{private, "private.corp_5000_"} {
		all = append(all, scenario{"certificates-of-docker-in-" + dir, func(s *fixture) {
			c, img := s.stocked("team/app:before")
			clients := s.authority()
			d, ca := s.private(private, clients, c)
			pair, err := clients.Client("node-1")
			must(s.T, err)
			s.certsFile(dir+"/ca.crt", ca.PEM())
			s.certsFile(dir+"/client.cert", pair.CertPEM)
			s.certsFile(dir+"/client.key", pair.KeyPEM)
			s.pull(private+"/team/app:before", img)
			empty := s.mirror(upstream.Status(http.StatusNotFound))
			s.apply(mirrorOf(private, empty.url()))
			after := s.image("team/app:after", c)
			s.pull(private+"/team/app:after", after)
			s.served(d, after)
			if len(empty.Requests()) == 0 {
				s.Error("the mirror was not asked")
			}
			empty.claimed = true
		}})
	}
	return append(all, scenario{"certificates-of-the-config", func(s *fixture) {
		c, img := s.stocked("team/app:v1")
		clients := s.authority()
		d, ca := s.private(private, clients, c)
		pair, err := clients.Client("node-1")
		must(s.T, err)
		dir := s.TempDir()
		roots := filepath.Join(dir, "ca.pem")
		must(s.T, os.WriteFile(roots, ca.PEM(), 0o644))
		cert, key, err := pair.Write(dir, "client")
		must(s.T, err)
		s.apply(fmt.Sprintf("registries:\n- {host: %q, tls: {caFile: %q, certFile: %q, keyFile: %q}}\n",
			private, roots, cert, key))
		s.pull(private+"/team/app:v1", img)
		s.served(d, img)
	}})
}

// changeScenarios: a change holds for the next pull, and restore undoes everything.
func changeScenarios() []scenario {
	return []scenario{
		{"changed-config", func(s *fixture) {
			// One name, two images: the pulled image shows which registry served it.
			one, old := s.stocked(repo)
			two, fresh := s.stocked(repo)
			first, second := s.mirror(one), s.mirror(two)
			s.apply(mirrorOf("docker.io", first.url()))
			s.pull(ref, old)
			s.apply(mirrorOf("docker.io", second.url()))
			s.pull(ref, fresh)
			s.served(first, old)
			s.served(second, fresh)
		}},
		{"docker-off", func(s *fixture) {
			c, img := s.stocked(repo)
			m := s.mirror(upstream.Status(http.StatusNotFound)) // never asked
			s.decoys[hub].answerWith(c)
			s.apply(mirrorOf("docker.io", m.url()))
			s.apply(mirrorOf("docker.io", m.url()) + "docker: {mode: \"off\"}\n")
			s.pull(ref, img)
			s.served(s.decoys[hub], img)
		}},
		{"restore", func(s *fixture) {
			c, img := s.stocked(repo)
			m, foreign := s.mirror(c), s.mirror(c)
			s.certsFile(private+"/ca.crt", s.authority().PEM())
			s.hosts("docker.io", entry(foreign.url()))
			s.certsFile("../daemon.json", []byte("{}\n"))
			odd := filepath.Join(s.root, certsDir, "docker.io")
			must(s.T, os.Chmod(filepath.Join(odd, "hosts.toml"), 0o604))
			must(s.T, os.Chown(filepath.Join(odd, "hosts.toml"), 12, 34))
			must(s.T, os.Chmod(odd, 0o711))
			everything := func(string) bool { return false }
			before, err := filetree.Read(s.etc(), everything)
			must(s.T, err)
			s.apply(mirrorOf("docker.io", m.url()) + strings.TrimPrefix(mirrorOf(private, m.url()), "mirrors:\n") +
				"containerd: {onConflict: adopt}\n")
			s.pull(ref, img)
			s.served(m, img)
			s.berth(0, "restore", "--config", s.configFile())
			after, err := filetree.Read(s.etc(), everything)
			must(s.T, err)
			for _, d := range filetree.Differences(before, after) {
				s.Errorf("after restore: %s", d)
			}
			later := s.image("library/app:later", c)
			s.pull("docker.io/library/app:later", later)
			s.served(foreign, later)
		}},
	}
}

// serveDirectory pulls from a directory with images of two registries, which berth images serve
// answers from: as the mirror of each of them, and by its own name.
func serveDirectory(s *fixture) {
	c := upstream.NewContent()
	fromHub, fromQuay := s.image("hub/library/app:v1", c), s.image("quay/library/app:v1", c)
	source := s.mirror(c)
	dir := filepath.Join(s.TempDir(), "images")
	s.berth(0, "images", "copy", "--to", "oci:"+dir, source.Addr()+"/hub/library/app:v1", source.Addr()+"/quay/library/app:v1")
	source.claimed = true
	// As if they had been copied from Docker Hub and Quay.
	index := filepath.Join(dir, "index.json")
	text, err := os.ReadFile(index)
	must(s.T, err)
	renamed := strings.NewReplacer(source.Addr()+"/hub/", "docker.io/", source.Addr()+"/quay/", "quay.io/").Replace(string(text))
	must(s.T, os.WriteFile(index, []byte(renamed), 0o600))
	url := served.Start(s.T, exec.Command(berthBinary(s.T), "images", "serve", dir, "--listen", "127.0.0.1:0"))
	s.apply(mirrorOf("docker.io", url) + only + strings.TrimPrefix(mirrorOf("quay.io", url), "mirrors:\n") + only)
	s.pull("docker.io/library/app:v1", fromHub)
	s.pull("quay.io/library/app:v1", fromQuay)
	s.pull(strings.TrimPrefix(url, "http://")+"/quay.io/library/app:v1", fromQuay)
	s.pullFails("quay.io/library/missing:v1")
}
