package kubelet

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/berth-registry/berth/test/fakes/fakeaws"
	"github.com/berth-registry/berth/test/fakes/upstream"
)

// TestPods starts pods with an ECR image: kubelet, provider and containerd are real; AWS and its
// registry are fakes on loopback.
func TestPods(t *testing.T) {
	b := newDaemonFixture(t)
	for _, c := range []struct {
		name string
		run  func(*fixture)
	}{
		{"instance-profile", func(s *fixture) {
			s.start()
			s.runs()
			s.servedTo(profileKey)
			if n := s.aws.Count(fakeaws.ECR, ""); n != 1 {
				s.Errorf("%d calls of ECR, want 1", n)
			}
		}},
		{"static-keys", func(s *fixture) {
			deny(s.aws, profileKey)
			s.start()
			s.runs()
			s.servedTo(staticKey)
		}},
		{"no-instance-profile", func(s *fixture) {
			s.aws.SetNotEC2(true)
			if s.daemonFixture.kubelet.version >= "1.34" { // which reads a directory of files, too
				s.config = manifest(configDir)
			}
			s.start()
			s.runs()
			s.servedTo(staticKey)
		}},
		{"both-denied", func(s *fixture) {
			deny(s.aws, profileKey)
			deny(s.aws, staticKey)
			s.start()
			s.fails()
			checkDenied(s.T, s.kubelet.Log())
			s.servedTo()
			if len(s.far.Requests()) == 0 {
				s.Error("the registry was not asked at all")
			}
		}},
		{"foreign-hosts-file", func(s *fixture) {
			// There are no rules that list the hosts of the file.
			s.hostsNear()
			s.start()
			s.fails()
			s.wantReason("withheld", "there are no rules that know it")
			s.servedTo()
			if len(s.near.Requests()) == 0 {
				s.Error("the registry was not asked at all")
			}
		}},
		{"catch-all-mirror", func(s *fixture) {
			s.apply(s.catchAll())
			s.start()
			s.fails()
			s.wantReason("withheld", s.mirror.Addr())
			s.askedBoth(s.mirror, s.far)
			s.servedTo()
		}},
		{"catch-all-mirror-naive-provider", func(s *fixture) {
			// The same with a provider that does not know hosts.toml.
			s.naive = true
			s.apply(s.catchAll())
			s.startWith(naiveProvider(s.T, ecrHost))
			s.fails()
			s.askedBoth(s.mirror, s.far)
		}},
		{"named-registry", func(s *fixture) {
			// The configuration names the registry, so it has a directory of its own that leads
			// past the mirror.
			s.apply(s.catchAll() + "registries:\n- host: " + ecrHost + "\n")
			s.start()
			s.runs()
			s.servedTo(profileKey)
			if n := s.aws.Count(fakeaws.ECR, ""); n != 1 {
				s.Errorf("%d calls of ECR, want 1 for both channels", n)
			}
			for _, r := range s.mirror.Requests() {
				if strings.Contains(r.Path, "named-registry") {
					s.Errorf("the mirror was asked: %s", r)
				}
			}
		}},
		{"mirror-in-ecr-misses", func(s *fixture) {
			// The mirror gets its token from hosts.toml and does not have the image; the upstream
			// is asked and does not receive the token.
			s.hubImage()
			s.apply(hubInECR)
			s.start()
			s.fails()
			s.askedBoth(s.far, s.hub)
			s.servedTo(profileKey)
		}},
		{"mirror-in-ecr-misses-naive-provider", func(s *fixture) {
			s.naive = true
			s.hubImage()
			s.apply(hubInECR)
			s.startWith(naiveProvider(s.T, "docker.io"))
			s.fails()
			s.askedBoth(s.far, s.hub)
		}},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(newFixture(t, b, c.name)) })
	}
}

// servedTo checks that the registry has admitted tokens of exactly these keys.
func (s *fixture) servedTo(keys ...fakeaws.Key) {
	s.Helper()
	want := map[string]bool{}
	for _, k := range keys {
		want[k.ID] = true
	}
	if got := s.ecr.keys(); !maps.Equal(got, want) {
		s.Errorf("the registry let in tokens of %q, want %q", slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
	}
}

// hubInECR is a mirror of Docker Hub in ECR.
const hubInECR = "mirrors:\n- upstream: docker.io\n  endpoints:\n  - url: https://" + ecrHost + "/docker-hub\n"

// hubImage gives the pod an image of Docker Hub, for which kubelet asks the provider.
func (s *fixture) hubImage() {
	s.Helper()
	s.image = "docker.io/library/app:v1"
	s.config = config(s.T, "  matchImages:\n", "  matchImages:\n  - docker.io\n")
}

// askedBoth checks that the token could have leaked.
func (s *fixture) askedBoth(first, second *upstream.Decoy) {
	s.Helper()
	if len(first.Requests()) == 0 || len(second.Requests()) == 0 {
		s.Errorf("%d requests for the first host, %d for the second: want both asked", len(first.Requests()), len(second.Requests()))
	}
}

// wantReason checks that a line of kubelet's log has our reason.
func (s *fixture) wantReason(parts ...string) {
	s.Helper()
	for _, line := range reasons(s.kubelet.Log()) {
		if !slices.ContainsFunc(parts, func(p string) bool { return !strings.Contains(line, p) }) {
			return
		}
	}
	s.Errorf("no reason with %q in kubelet's log: %q", parts, reasons(s.kubelet.Log()))
}

// naiveProvider returns a token for every image of a registry.
func naiveProvider(t *testing.T, registry string) string {
	t.Helper()
	dir := t.TempDir()
	script := `#!/bin/sh
cat >/dev/null
echo '{"kind":"CredentialProviderResponse","apiVersion":"credentialprovider.kubelet.k8s.io/v1","cacheKeyType":"Registry","cacheDuration":"0s","auth":{"` + registry + `":{"username":"AWS","password":"naive-token"}}}'
`
	if err := os.WriteFile(filepath.Join(dir, "berth-credential-provider"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}
