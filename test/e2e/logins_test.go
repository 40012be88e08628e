package e2e

import (
	"fmt"
	"net/http"

	"github.com/berth-registry/berth/test/e2e/containerd"
	"github.com/berth-registry/berth/test/e2e/registry"
	"github.com/berth-registry/berth/test/fakes/upstream"
	"github.com/berth-registry/berth/test/sample"
)

const (
	robot    = "robot"
	password = "correct horse"
)

// login returns the registries section for a host, with a password file.
func (s *fixture) login(host string) string {
	s.Helper()
	return fmt.Sprintf("registries:\n- host: %q\n  username: %s\n  passwordFile: %q\n  auth: basic\n",
		host, robot, s.file("password", password+"\n"))
}

// locked starts a docker-registry that requires the login.
func (s *fixture) locked() *registry.Registry {
	s.Helper()
	return s.registry(registry.Options{Username: robot, Password: password})
}

// loginScenarios: logins that Berth writes as a header for one host. finish checks that no decoy
// saw the login of another one.
func loginScenarios() []scenario {
	return []scenario{
		{"login-at-a-mirror", func(s *fixture) {
			s.hubServes()
			r := s.locked()
			img := s.image("hub/"+repo, r)
			s.apply(mirrorOf("docker.io", r.URL()+"/hub") + s.login(r.Addr()))
			s.pull(ref, img)
			s.asked(s.decoys[hub])
			s.served(r, ok(viaHub(fetch{path: "/v2/hub/library/app", img: img}).all())...)
		}},
		{"login-is-needed", func(s *fixture) {
			// The same without the login: the registry refuses.
			r := s.locked()
			whole := viaHub(fetch{img: s.image(repo, r)})
			s.apply(mirrorOf("docker.io", r.URL()) + only)
			s.pullFails(ref)
			s.served(r, whole.resolve()+" 401")
		}},
		{"login-at-docker-hub-behind-a-mirror", func(s *fixture) {
			// Docker Hub requires tokens: containerd 2.1 and newer send the header to its token
			// server, and to no mirror; older releases cannot use it.
			c := upstream.NewContent()
			img := s.image(repo, c)
			s.decoys[hub].Answer(upstream.Bearer("https://auth.docker.io/token", "granted", c))
			tokens := s.behindProxy("auth.docker.io", upstream.Basic(robot, password, upstream.Token("granted")))
			mirror := s.mirror(upstream.Status(http.StatusNotFound))
			s.apply(mirrorOf("docker.io", "http://"+mirror.Addr()) +
				fmt.Sprintf("registries:\n- {host: docker.io, username: %s, password: %q}\n", robot, password))
			s.claimed[mirror], s.claimed[tokens], s.claimed[s.decoys[hub]] = true, true, true
			if !s.release.HeaderToTokenServer() {
				s.pullFails(ref)
				s.authorization(tokens.Requests()) // anonymous
			} else {
				s.pull(ref, img)
				s.authorization(tokens.Requests(), "Basic "+basic(robot, password))
			}
			s.authorization(mirror.Requests())
		}},
		{"login-at-a-registry", func(s *fixture) {
			r := s.locked()
			whole := fetch{path: "/v2/team/app", tag: "v1", img: s.image("team/app:v1", r)}
			s.apply(s.login(r.Addr()))
			s.pull(r.Addr()+"/team/app:v1", whole.img)
			s.served(r, ok(whole.all())...)
		}},
		{"login-inline", func(s *fixture) {
			r := s.locked()
			whole := viaHub(fetch{img: s.image(repo, r)})
			s.apply(mirrorOf("docker.io", r.URL()) + fmt.Sprintf("registries:\n- host: %q\n  username: %s\n  password: %q\n", r.Addr(), robot, password))
			s.pull(ref, whole.img)
			s.served(r, ok(whole.all())...)
		}},
		{"login-beside-a-wrong-credential", func(s *fixture) {
			// kubelet passes another credential; the header still logs in, and no other host of the
			// directory sees kubelet's credential.
			first := s.mirror(upstream.Status(http.StatusNotFound))
			s.keepSecret("kubelet", "of somebody else", nil)
			r := s.locked()
			whole := viaHub(fetch{img: s.image(repo, r)})
			s.apply(mirrorOf("docker.io", "http://"+first.Addr(), r.URL()) + s.login(r.Addr()))
			s.pullAs(ref, &containerd.Credential{Username: "kubelet", Password: "of somebody else"}, whole.img)
			s.asked(first, whole.all()...)
			s.served(r, ok(whole.all())...)
		}},
		{"login-at-a-registry-beside-a-wrong-credential", func(s *fixture) {
			r := s.locked()
			whole := fetch{path: "/v2/team/app", tag: "v1", img: s.image("team/app:v1", r)}
			s.apply(s.login(r.Addr()))
			s.pullAs(r.Addr()+"/team/app:v1", &containerd.Credential{Username: "kubelet", Password: "of somebody else"}, whole.img)
			s.served(r, ok(whole.all())...)
		}},
		{"login-stays-at-home-on-fallback", func(s *fixture) {
			// The mirror has a login and no images; Docker Hub asks every client for one.
			up := s.hubServes()
			c := upstream.NewContent()
			s.push(repo, up.img, c)
			s.decoys[hub].Answer(upstream.Basic("somebody", "else", c))
			r := s.locked()
			s.apply(mirrorOf("docker.io", r.URL()) + s.login(r.Addr()))
			s.pullFails(ref)
			s.claimed[s.decoys[hub]] = true
			s.authorization(s.decoys[hub].Requests()) // none
			s.served(r, viaHub(up).resolve()+" 404")
		}},
		{"login-of-two-mirrors", func(s *fixture) {
			c := upstream.NewContent()
			first := s.mirror(upstream.Basic("first", "of the first", c))
			s.keepSecret("first", "of the first", first)
			r := s.locked()
			whole := viaHub(fetch{img: s.image(repo, r)})
			s.apply(mirrorOf("docker.io", "http://"+first.Addr(), r.URL()) + s.login(r.Addr()) +
				fmt.Sprintf("- host: %q\n  username: first\n  password: of the first\n  auth: basic\n", first.Addr()))
			s.pull(ref, whole.img)
			s.asked(first, whole.all()...) // and without a second round for a 401
			s.authorization(first.Requests(), "Basic "+basic("first", "of the first"))
			s.served(r, ok(whole.all())...)
		}},
		{"sandbox-image", func(s *fixture) {
			// kubelet passes no credential for the pause image.
			r := s.locked()
			img, err := sample.NewProgram(s.pause)
			if err != nil {
				s.Fatal(err)
			}
			s.push("k8s/pause:e2e", img, r)
			s.apply(mirrorOf("registry.k8s.io", r.URL()+"/k8s") + only + s.login(r.Addr()))
			s.runPod("first")
			s.served(r, ok(fetch{path: "/v2/k8s/pause", tag: "e2e", ns: "registry.k8s.io", img: img}.all())...)
		}},
	}
}
