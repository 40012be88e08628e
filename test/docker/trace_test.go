//go:build e2e

package docker

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/berth-registry/berth/test/fakes/upstream"
)

// TestTrace compares berth trace --runtime docker with a pull of the same node. It names the host
// that served the image, or none where the pull fails. Docker asks the rows of trace in their order,
// up to that host.
func TestTrace(t *testing.T) {
	run(t, slices.Concat(traceMirrors(), traceLogins(), traceCertificates(), traceSettings()))
}

func traceMirrors() []scenario {
	after := func(name string, answer http.Handler) scenario {
		return scenario{"after-" + name, func(s *fixture) {
			c, img := s.stocked(repo)
			first, second := s.mirror(answer), s.mirror(c)
			s.apply(mirrorOf("docker.io", first.url(), second.url()))
			s.pull(ref, img)
			s.served(second, img)
			s.traced(ref, second)
		}}
	}
	port := func(name, dir string) scenario {
		return scenario{name, func(s *fixture) {
			c, img := s.stocked("team/app:v1")
			m := s.mirror(c)
			s.behindProxy(private, upstream.Status(http.StatusNotFound))
			s.apply("mirrors: []\n")
			s.hosts(dir, entry(m.url()))
			s.pull(private+"/team/app:v1", img)
			s.served(m, img)
			s.traced(private+"/team/app:v1", m)
		}}
	}
	return []scenario{
		after("401", upstream.Status(http.StatusUnauthorized)),
		after("404", upstream.Status(http.StatusNotFound)),
		after("500", upstream.Status(http.StatusInternalServerError)),
		port("port-after-a-colon", private),
		port("port-between-underscores", "private.corp_5000_"),
		{"mirror", func(s *fixture) {
			c, img := s.stocked("hub/" + repo)
			m := s.mirror(c)
			s.apply(mirrorOf("docker.io", m.url()+"/hub"))
			s.pull(ref, img)
			s.served(m, img)
			s.traced(ref, m)
		}},
		{"upstream", func(s *fixture) {
			c, img := s.stocked(repo)
			m := s.mirror(upstream.Status(http.StatusNotFound))
			s.decoys[hub].answerWith(c)
			s.apply(mirrorOf("docker.io", m.url()))
			s.pull(ref, img)
			s.served(s.decoys[hub], img)
			s.traced(ref, s.decoys[hub])
		}},
		{"mirror-alone-without-the-image", func(s *fixture) {
			m := s.mirror(upstream.NewContent())
			s.apply(mirrorOf("docker.io", m.url()) + only)
			s.pullFails(ref)
			s.traced(ref, nil)
		}},
		{"every-registry", func(s *fixture) {
			c, img := s.stocked("team/app:v1")
			m := s.mirror(c)
			s.apply(mirrorOf("*", m.url()))
			s.pull("quay.io/team/app:v1", img)
			s.served(m, img)
			s.traced("quay.io/team/app:v1", m)
		}},
		{"digest", func(s *fixture) {
			c, img := s.stocked("hub/" + repo)
			m := s.mirror(c)
			s.apply(mirrorOf("docker.io", m.url()+"/hub"))
			s.pull("docker.io/library/app@"+img.Digest, img)
			s.served(m, img)
			s.traced("docker.io/library/app@"+img.Digest, m)
		}},
		{"registry-with-a-file-of-its-own-beside-every-registry", func(s *fixture) {
			c, img := s.stocked("team/app:v1")
			m, own := s.mirror(upstream.Status(http.StatusNotFound)), s.mirror(c)
			s.apply(mirrorOf("*", m.url()) + strings.TrimPrefix(mirrorOf("quay.io", own.url()), "mirrors:\n"))
			s.pull("quay.io/team/app:v1", img)
			s.served(own, img)
			s.traced("quay.io/team/app:v1", own)
		}},
		{"registry-on-loopback-without-a-file", func(s *fixture) {
			c, img := s.stocked("team/app:v1")
			m := s.mirror(c)
			s.apply("mirrors: []\n")
			s.pull(m.Addr()+"/team/app:v1", img)
			s.served(m, img)
			s.traced(m.Addr()+"/team/app:v1", m)
		}},
	}
}

func traceLogins() []scenario {
	return []scenario{
		{"login-at-a-mirror", func(s *fixture) {
			c, img := s.stocked(repo)
			m := s.mirror(upstream.Basic(robot, password, c))
			s.keep(robot, password, m)
			s.apply(mirrorOf("docker.io", m.url()) + "registries:\n" + withLogin(m.Addr()))
			s.pull(ref, img)
			s.served(m, img)
			s.traced(ref, m)
		}},
		{"login-that-is-refused", func(s *fixture) {
			c, img := s.stocked(repo)
			m := s.mirror(upstream.Basic("another", "login", c))
			s.decoys[hub].answerWith(c)
			s.keep(robot, password, m)
			s.apply(mirrorOf("docker.io", m.url()) + "registries:\n" + withLogin(m.Addr()))
			s.pull(ref, img)
			s.served(s.decoys[hub], img)
			s.traced(ref, s.decoys[hub])
		}},
		{"login-at-a-registry", func(s *fixture) {
			c, img := s.stocked("team/app:v1")
			quay := s.decoys["quay.io"]
			quay.answerWith(upstream.Basic(robot, password, c))
			s.keep(robot, password, quay)
			s.apply("registries:\n" + withLogin("quay.io"))
			s.pull("quay.io/team/app:v1", img)
			s.served(quay, img)
			s.traced("quay.io/team/app:v1", quay)
		}},
		{"registry-that-no-header-serves", func(s *fixture) {
			c := upstream.NewContent()
			realm := s.behindProxy("auth.quay.io", upstream.Basic(robot, password, upstream.Token("granted")))
			quay := s.decoys["quay.io"]
			quay.answerWith(upstream.Bearer("https://auth.quay.io/token", "granted", c))
			s.keep(robot, password, quay, realm)
			s.apply("registries:\n" + unprobed("quay.io"))
			s.pullFails("quay.io/team/app:v1")
			s.traced("quay.io/team/app:v1", nil)
		}},
		{"registry-with-anonymous-tokens", func(s *fixture) {
			c, img := s.stocked("team/app:v1")
			realm := s.behindProxy("auth.quay.io", upstream.Token("granted"))
			quay := s.decoys["quay.io"]
			quay.answerWith(upstream.Bearer("https://auth.quay.io/token", "granted", c))
			s.apply("mirrors: []\n")
			s.pull("quay.io/team/app:v1", img)
			s.served(quay, img)
			s.authorization(realm) // none
			s.traced("quay.io/team/app:v1", quay)
		}},
	}
}

func traceCertificates() []scenario {
	return []scenario{
		{"unknown-authority", func(s *fixture) {
			s.private(private, nil, upstream.NewContent())
			s.apply("mirrors: []\n")
			s.pullFails(private + "/team/app:v1")
			s.traced(private+"/team/app:v1", nil)
		}},
		{"certificates-of-docker", func(s *fixture) {
			c, img := s.stocked("team/app:v1")
			clients := s.authority()
			d, ca := s.private(private, clients, c)
			pair, err := clients.Client("node-1")
			must(s.T, err)
			s.certsFile(private+"/ca.crt", ca.PEM())
			s.apply("mirrors: []\n")
			s.pullFails(private + "/team/app:v1")
			s.traced(private+"/team/app:v1", nil)
			s.certsFile(private+"/client.cert", pair.CertPEM)
			s.certsFile(private+"/client.key", pair.KeyPEM)
			s.pull(private+"/team/app:v1", img)
			s.served(d, img)
			s.traced(private+"/team/app:v1", d)
		}},
	}
}

func traceSettings() []scenario {
	return []scenario{
		{"registry-mirrors-before-a-single-host", func(s *fixture) {
			c, img := s.stocked(repo)
			theirs, ours := s.mirror(c), s.mirror(c)
			s.daemonJSON(settings{Mirrors: []string{theirs.url()}})
			s.apply(mirrorOf("docker.io", ours.url()) + only)
			s.pull(ref, img)
			s.served(theirs, img)
			s.traced(ref, theirs)
		}},
		{"registry-mirrors-beside-two-hosts", func(s *fixture) {
			c, img := s.stocked(repo)
			theirs, ours := s.mirror(c), s.mirror(c)
			s.daemonJSON(settings{Mirrors: []string{theirs.url()}})
			s.apply(mirrorOf("docker.io", ours.url()))
			s.pull(ref, img)
			s.served(ours, img)
			s.traced(ref, ours)
		}},
		{"registry-mirrors-without-the-image", func(s *fixture) {
			c, img := s.stocked(repo)
			theirs := s.mirror(upstream.Status(http.StatusNotFound))
			s.decoys[hub].answerWith(c)
			s.daemonJSON(settings{Mirrors: []string{theirs.url()}})
			s.apply("mirrors: []\n")
			s.pull(ref, img)
			s.served(s.decoys[hub], img)
			s.traced(ref, s.decoys[hub])
		}},
		{"insecure-registries-of-a-single-host", func(s *fixture) {
			c, img := s.stocked("team/app:v1")
			d, _ := s.private(private, nil, c)
			s.daemonJSON(settings{Insecure: []string{private}})
			s.apply("mirrors: []\n")
			s.pull(private+"/team/app:v1", img)
			s.served(d, img)
			s.traced(private+"/team/app:v1", d)
		}},
		{"insecure-registries-beside-two-hosts", func(s *fixture) {
			s.private(private, nil, upstream.NewContent())
			m := s.mirror(upstream.Status(http.StatusNotFound))
			s.daemonJSON(settings{Insecure: []string{private}})
			s.apply(mirrorOf(private, m.url()))
			s.pullFails(private + "/team/app:v1")
			s.traced(private+"/team/app:v1", nil)
		}},
	}
}

// traced checks berth trace after a pull: its verdict is the decoy that served the image, nil for
// none, and Docker has asked the hosts of its rows up to that one, and no further. Then trace asks
// every host, so each decoy may have been asked.
func (s *fixture) traced(ref string, by *decoy) {
	s.Helper()
	asked := map[*decoy]bool{}
	for _, d := range s.decoys {
		asked[d] = len(d.byDocker()) > 0
	}
	code, want := 1, ""
	if by != nil {
		code, want = 0, by.name
	}
	output := s.berth(code, "trace", "--config", s.configFile(), "--runtime", "docker", "-o", "json", ref)
	var reports []struct {
		Hosts   []struct{ URL string }
		Verdict struct{ Host, Text string }
	}
	// Warnings may come first.
	_, document, _ := strings.Cut(output, "[\n")
	if err := json.Unmarshal([]byte("[\n"+document), &reports); err != nil || len(reports) != 1 {
		s.Fatalf("berth trace: %v\n%s", err, output)
	}
	if got := reports[0].Verdict.Host; got != want {
		s.Errorf("berth trace says %q, and %q served it\n%s", got, want, output)
	}
	rows := 0
	for _, row := range reports[0].Hosts {
		u, err := url.Parse(row.URL)
		must(s.T, err)
		for d, was := range asked {
			if d.name != u.Host && d.Addr() != u.Host {
				continue
			}
			rows++
			// A server that refused Docker's certificate, or whose certificate Docker refused, has
			// seen no request.
			if refused := by == nil && d.name == private; !was && !refused {
				s.Errorf("berth trace has a row for %s, and Docker has not asked it\n%s", row.URL, output)
			}
			delete(asked, d)
		}
		if u.Host == want {
			break
		}
	}
	if rows == 0 {
		s.Errorf("berth trace has no row for a host of this test:\n%s", output)
	}
	for _, row := range reports[0].Hosts {
		u, err := url.Parse(row.URL)
		must(s.T, err)
		for d, was := range asked { // those after the host that served the image
			if was && (d.name == u.Host || d.Addr() == u.Host) {
				s.Errorf("Docker has asked %s after the host that served the image\n%s", row.URL, output)
			}
		}
	}
	for _, d := range s.decoys {
		d.claimed = true
	}
}
