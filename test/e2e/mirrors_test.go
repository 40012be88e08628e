package e2e

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/berth-registry/berth/test/e2e/registry"
	"github.com/berth-registry/berth/test/fakes/upstream"
	"github.com/berth-registry/berth/test/sample"
)

// mirrorScenarios: one mirror, in every form of its url, and several mirrors.
func mirrorScenarios() []scenario {
	return []scenario{
		{"tag", func(s *fixture) {
			r := s.registry(registry.Options{})
			img := s.image(repo, r)
			s.apply(mirrorOf("docker.io", r.URL()))
			s.pull(ref, img)
			s.served(r, ok(viaHub(fetch{img: img}).all())...)
		}},
		{"digest", func(s *fixture) {
			r := s.registry(registry.Options{})
			img := s.image(repo, r)
			s.apply(mirrorOf("docker.io", r.URL()))
			s.pull("docker.io/library/app@"+img.Digest, img)
			s.served(r, ok(viaHub(fetch{tag: img.Digest, img: img}).all())...)
		}},
		{"multi-platform-index", func(s *fixture) {
			r := s.registry(registry.Options{})
			img, err := sample.NewIndex()
			if err != nil {
				s.Fatal(err)
			}
			s.push(repo, img, r)
			s.apply(mirrorOf("docker.io", r.URL()))
			s.pull(ref, img)
			s.served(r, ok(viaHub(fetch{img: img}).all())...)
		}},
		{"without-scheme", func(s *fixture) {
			// 127.0.0.0/8 is plain http by default.
			r := s.registry(registry.Options{})
			img := s.image(repo, r)
			s.apply(mirrorOf("docker.io", r.Addr()))
			s.pull(ref, img)
			s.served(r, ok(viaHub(fetch{img: img}).all())...)
		}},
		{"ipv6", func(s *fixture) {
			// As the server of the file, which every containerd reads: see the fact about brackets.
			r := s.registry(registry.Options{IP: "::1"})
			img := s.image("hub/"+repo, r)
			if !strings.HasPrefix(r.URL(), "http://[::1]:") {
				s.Fatalf("the registry is at %s", r.URL())
			}
			s.apply(mirrorOf("docker.io", r.URL()+"/hub") + only)
			s.pull(ref, img)
			s.served(r, ok(viaHub(fetch{path: "/v2/hub/library/app", img: img}).all())...)
		}},
		{"prefix", func(s *fixture) {
			r := s.registry(registry.Options{})
			img := s.image("cache/hub/library/app:v1", r)
			s.apply(mirrorOf("docker.io", r.URL()+"/cache/hub"))
			s.pull(ref, img)
			s.served(r, ok(viaHub(fetch{path: "/v2/cache/hub/library/app", img: img}).all())...)
		}},
		{"api-root", func(s *fixture) {
			c := upstream.NewContent()
			img := s.image(repo, c)
			mirror := s.mirror(http.StripPrefix("/api/docker/hub", c))
			s.apply(mirrorOf("docker.io", "http://"+mirror.Addr()+"/api/docker/hub/v2"))
			s.pull(ref, img)
			s.asked(mirror, viaHub(fetch{path: "/api/docker/hub/v2/library/app", img: img}).all()...)
		}},
		{"literal-path", func(s *fixture) {
			c := upstream.NewContent()
			img := s.image(repo, c)
			mirror := s.mirror(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if rest, ok := strings.CutPrefix(r.URL.Path, "/odd/root/"); ok {
					r.URL.Path = "/v2/" + rest
				}
				c.ServeHTTP(w, r)
			}))
			s.apply(mirrorOf("docker.io", "http://"+mirror.Addr()+"/odd/root") + "    overridePath: true\n")
			s.pull(ref, img)
			s.asked(mirror, viaHub(fetch{path: "/odd/root/library/app", img: img}).all()...)
		}},
		{"extra-header", func(s *fixture) {
			c := upstream.NewContent()
			img := s.image(repo, c)
			mirror := s.mirror(c)
			s.apply(mirrorOf("docker.io", "http://"+mirror.Addr()) + "    headers: {X-Org: [team-a]}\n")
			s.pull(ref, img)
			s.asked(mirror, viaHub(fetch{img: img}).all()...)
			for _, r := range mirror.Requests() {
				if got := r.Header.Get("X-Org"); got != "team-a" {
					s.Errorf("%s came with X-Org %q", r, got)
				}
			}
		}},
		{"pull-only-endpoint", func(s *fixture) {
			// Without resolve it is not asked for tags, but it serves the content.
			up := s.hubServes()
			r := s.registry(registry.Options{})
			s.push(repo, up.img, r)
			s.apply(mirrorOf("docker.io", r.URL()) + "    capabilities: [pull]\n")
			s.pull(ref, up.img)
			s.asked(s.decoys[hub], up.resolve())
			s.served(r, ok(viaHub(up).content())...)
		}},
		{"dead-first", func(s *fixture) {
			r := s.registry(registry.Options{})
			img := s.image(repo, r)
			s.apply(mirrorOf("docker.io", "http://"+s.closedPort(), "https://"+s.closedPort(), r.URL()))
			s.pull(ref, img)
			s.served(r, ok(viaHub(fetch{img: img}).all())...)
		}},
		answering("first-answers-404", http.StatusNotFound),
		answering("first-answers-403", http.StatusForbidden),
		answering("first-answers-500", http.StatusInternalServerError),
		{"restart-of-a-mirror", func(s *fixture) {
			// The first mirror is down for one pull and back for the next.
			c := upstream.NewContent()
			first := s.mirror(upstream.Status(http.StatusServiceUnavailable))
			second := s.registry(registry.Options{})
			s.apply(mirrorOf("docker.io", "http://"+first.Addr(), second.URL()))
			down := viaHub(fetch{img: s.image(repo, second)})
			s.pull(ref, down.img)
			s.asked(first, down.all()...)
			s.served(second, ok(down.all())...)

			up := viaHub(fetch{tag: "v2", img: s.image("library/app:v2", c)})
			first.Answer(c)
			s.pull("docker.io/library/app:v2", up.img)
			s.asked(first, append(down.all(), up.all()...)...)
			s.served(second, ok(down.all())...)
		}},
	}
}

// answering pulls past a first endpoint that answers code to everything. It is asked again for each
// object.
func answering(name string, code int) scenario {
	return scenario{name, func(s *fixture) {
		first := s.mirror(upstream.Status(code))
		r := s.registry(registry.Options{})
		whole := viaHub(fetch{img: s.image(repo, r)})
		s.apply(mirrorOf("docker.io", "http://"+first.Addr(), r.URL()))
		s.pull(ref, whole.img)
		want := whole.all()
		later := s.release.AtLeast(2, 0, 14) && !s.release.AtLeast(2, 1, 0) || s.release.AtLeast(2, 3, 4)
		if code == http.StatusForbidden && later {
			// It asks with GET for the reason, which the answer to HEAD does not have.
			want = append(want, whole.line("GET", "/manifests/v1"))
		}
		s.asked(first, want...)
		s.served(r, ok(whole.all())...)
	}}
}

// upstreamScenarios: which upstream a mirror is for, and whether the upstream is asked.
func upstreamScenarios() []scenario {
	return []scenario{
		{"fallback", func(s *fixture) {
			up := s.hubServes()
			r := s.registry(registry.Options{})
			s.apply(mirrorOf("docker.io", r.URL()))
			s.pull(ref, up.img)
			s.asked(s.decoys[hub], up.all()...)
			s.served(r, status(" 404", viaHub(up).all())...)
		}},
		{"fallback-from-a-dead-mirror", func(s *fixture) {
			up := s.hubServes()
			s.apply(mirrorOf("docker.io", "http://"+s.closedPort()))
			s.pull(ref, up.img)
			s.asked(s.decoys[hub], up.all()...)
		}},
		{"mirror-only", func(s *fixture) {
			s.hubServes()
			r := s.registry(registry.Options{})
			img := s.image("hub/"+repo, r)
			s.apply(mirrorOf("docker.io", r.URL()+"/hub") + only)
			s.pull(ref, img)
			s.asked(s.decoys[hub])
			s.served(r, ok(viaHub(fetch{path: "/v2/hub/library/app", img: img}).all())...)
		}},
		{"mirror-only-404", func(s *fixture) {
			up := s.hubServes()
			r := s.registry(registry.Options{})
			s.apply(mirrorOf("docker.io", r.URL()) + only)
			s.pullFails(ref)
			s.asked(s.decoys[hub])
			s.served(r, viaHub(up).resolve()+" 404")
		}},
		{"mirror-only-dead", func(s *fixture) {
			s.hubServes()
			s.apply(mirrorOf("docker.io", "http://"+s.closedPort()) + only)
			s.pullFails(ref)
			s.asked(s.decoys[hub])
		}},
		{"mirror-only-of-two", func(s *fixture) {
			s.hubServes()
			first := s.mirror(upstream.Status(http.StatusNotFound))
			r := s.registry(registry.Options{})
			whole := viaHub(fetch{img: s.image(repo, r)})
			s.apply(mirrorOf("docker.io", "http://"+first.Addr(), r.URL()) + only)
			s.pull(ref, whole.img)
			s.asked(first, whole.all()...)
			s.served(r, ok(whole.all())...)
			s.asked(s.decoys[hub])
		}},
		{"default", func(s *fixture) {
			// Every registry without its own entry; ghcr.io has one, so its images and its login
			// never reach the mirror.
			r := s.registry(registry.Options{})
			quay, k8s, ghcr := s.image("quay/app:v1", r), s.image("k8s/app:v1", r), upstream.NewContent()
			direct := s.image("team/app:v1", ghcr)
			s.keepSecret("robot", "for ghcr", s.decoys["ghcr.io"])
			s.decoys["ghcr.io"].Answer(upstream.Basic("robot", "for ghcr", ghcr))
			s.apply(mirrorOf("*", r.URL()) + fmt.Sprintf("registries:\n- host: ghcr.io\n  username: robot\n  passwordFile: %q\n  auth: basic\n", s.file("password", "for ghcr")))
			s.pull("quay.io/quay/app:v1", quay)
			s.pull("registry.k8s.io/k8s/app:v1", k8s)
			s.pull("ghcr.io/team/app:v1", direct)
			s.asked(s.decoys["ghcr.io"], fetch{path: "/v2/team/app", tag: "v1", img: direct}.all()...)
			s.served(r, ok(append(
				fetch{path: "/v2/quay/app", tag: "v1", ns: "quay.io", img: quay}.all(),
				fetch{path: "/v2/k8s/app", tag: "v1", ns: "registry.k8s.io", img: k8s}.all()...))...)
		}},
		{"default-pass-through-without-login", func(s *fixture) {
			r := s.registry(registry.Options{})
			c := upstream.NewContent()
			s.decoys["ghcr.io"].Answer(c)
			img := s.image("team/app:v1", c)
			s.apply(mirrorOf("*", r.URL()) + "registries:\n- host: ghcr.io\n")
			s.pull("ghcr.io/team/app:v1", img)
			s.asked(s.decoys["ghcr.io"], fetch{path: "/v2/team/app", tag: "v1", img: img}.all()...)
			s.served(r)
		}},
		{"default-falls-back-to-each-upstream", func(s *fixture) {
			c := upstream.NewContent()
			s.decoys["quay.io"].Answer(c)
			up := fetch{path: "/v2/team/app", tag: "v1", img: s.image("team/app:v1", c)}
			r := s.registry(registry.Options{})
			s.apply(mirrorOf("*", r.URL()))
			s.pull("quay.io/team/app:v1", up.img)
			s.asked(s.decoys["quay.io"], up.all()...)
			up.ns = "quay.io"
			s.served(r, status(" 404", up.all())...)
		}},
		{"registry-on-a-port", func(s *fixture) {
			up := s.mirror(upstream.Status(http.StatusNotFound))
			r := s.registry(registry.Options{})
			img := s.image("team/app:v1", r)
			s.apply(mirrorOf(up.Addr(), r.URL()))
			s.pull(up.Addr()+"/team/app:v1", img)
			s.served(r, ok(fetch{path: "/v2/team/app", tag: "v1", ns: up.Addr(), img: img}.all())...)
		}},
		{"default-registry", func(s *fixture) {
			r := s.registry(registry.Options{})
			img := s.image("artifactory/"+repo, r)
			s.apply(fmt.Sprintf("defaultRegistry:\n  url: %s/artifactory\n", r.Addr()))
			s.pull(ref, img)
			s.served(r, ok(viaHub(fetch{path: "/v2/artifactory/library/app", img: img}).all())...)
		}},
		{"default-registry-for-others-too", func(s *fixture) {
			s.hubServes()
			r := s.registry(registry.Options{})
			hubImage, quayImage := s.image(repo, r), s.image("team/app:v1", r)
			s.apply(fmt.Sprintf("defaultRegistry:\n  url: %s\n  for: [docker.io, quay.io]\n  upstreamFallback: false\n", r.URL()))
			s.pull(ref, hubImage)
			s.pull("quay.io/team/app:v1", quayImage)
			s.pullFails("docker.io/library/other:v1")
			s.asked(s.decoys[hub])
			s.served(r, append(ok(append(
				viaHub(fetch{img: hubImage}).all(),
				fetch{path: "/v2/team/app", tag: "v1", ns: "quay.io", img: quayImage}.all()...)),
				"HEAD /v2/library/other/manifests/v1?ns=docker.io 404")...)
		}},
	}
}
