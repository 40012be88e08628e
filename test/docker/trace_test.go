//go:build e2e

package docker

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/berth-registry/berth/test/fakes/upstream"
)

// TestTrace compares berth trace --runtime docker with a pull of the same node: it names the host
// that served the image, or none where the pull fails.
func TestTrace(t *testing.T) {
	run(t, []scenario{
		{"mirror", func(s *fixture) {
			c, img := s.stocked("hub/" + repo)
			m := s.mirror(c)
			s.apply(mirrorOf("docker.io", m.url()+"/hub"))
			s.pull(ref, img)
			s.served(m, img)
			s.traced(ref, m)
		}},
		{"second-mirror", func(s *fixture) {
			c, img := s.stocked(repo)
			first, second := s.mirror(upstream.Status(http.StatusNotFound)), s.mirror(c)
			s.apply(mirrorOf("docker.io", first.url(), second.url()))
			s.pull(ref, img)
			s.served(second, img)
			s.traced(ref, second)
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
		{"login-at-a-mirror", func(s *fixture) {
			c, img := s.stocked(repo)
			m := s.mirror(upstream.Basic(robot, password, c))
			s.keep(robot, password, m)
			s.apply(mirrorOf("docker.io", m.url()) + "registries:\n" + withLogin(m.Addr()))
			s.pull(ref, img)
			s.served(m, img)
			s.traced(ref, m)
		}},
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
	})
}

// traced checks the verdict of berth trace: the decoy that serves the image, nil for none. It asks
// every host, so each decoy may have been asked.
func (s *fixture) traced(ref string, by *decoy) {
	s.Helper()
	code, want := 1, ""
	if by != nil {
		code, want = 0, by.name
	}
	output := s.berth(code, "trace", "--config", s.configFile(), "--runtime", "docker", "-o", "json", ref)
	var reports []struct{ Verdict struct{ Host, Text string } }
	// Warnings may come first.
	_, document, _ := strings.Cut(output, "[\n")
	if err := json.Unmarshal([]byte("[\n"+document), &reports); err != nil || len(reports) != 1 {
		s.Fatalf("berth trace: %v\n%s", err, output)
	}
	if got := reports[0].Verdict.Host; got != want {
		s.Errorf("berth trace says %q, and %q served it\n%s", got, want, output)
	}
	for _, d := range s.decoys {
		d.claimed = true
	}
}
