package e2e

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/berth-registry/berth/test/e2e/containerd"
	"github.com/berth-registry/berth/test/e2e/parts"
	"github.com/berth-registry/berth/test/e2e/registry"
	"github.com/berth-registry/berth/test/fakes/upstream"
)

// TestFacts checks how containerd treats a hosts.toml, where Berth depends on it. The files are
// written by hand: a version of containerd that behaves differently fails here, independent of
// Berth.
func TestFacts(t *testing.T) {
	onEachContainerd(t, programs{}, slices.Concat(fileFacts(), orderFacts(), headerFacts()))
}

const (
	hub    = "registry-1.docker.io"
	ref    = "docker.io/library/app:v1"
	repo   = "library/app:v1"
	hubAPI = "/v2/library/app"
)

// hubServes pushes a new image to the decoy for Docker Hub and nowhere else.
func (s *fixture) hubServes() fetch {
	c := upstream.NewContent()
	img := s.image(repo, c)
	s.decoys[hub].Answer(c)
	return fetch{path: hubAPI, tag: "v1", img: img}
}

// fileFacts: which files containerd reads, and which it ignores without an error.
func fileFacts() []scenario {
	return []scenario{
		{"referrers-drops-the-file-before-2.2", func(s *fixture) {
			r := s.registry(registry.Options{})
			up := s.hubServes()
			s.push(repo, up.img, r)
			s.hosts("docker.io", fmt.Sprintf("[host.%q]\ncapabilities = [\"pull\", \"resolve\", \"referrers\"]\n", r.URL()))
			s.pull(ref, up.img)
			s.fromMirrorSince(2, 2, r, up)
		}},
		{"no-host-table-drops-the-file-on-1.x", func(s *fixture) {
			r := s.registry(registry.Options{})
			up := s.hubServes()
			s.push(repo, up.img, r)
			s.hosts("docker.io", fmt.Sprintf("server = %q\ncapabilities = [\"pull\", \"resolve\"]\n", r.URL()))
			s.pull(ref, up.img)
			s.fromMirrorSince(2, 0, r, up)
		}},
		{"brackets-of-ipv6-drop-the-file-on-1.x", func(s *fixture) {
			// The TOML parser of 1.6 and 1.7 accepts no bracket in the name of a table, quoted or
			// not, so there an IPv6 address can only be the server.
			r := s.registry(registry.Options{IP: "::1"})
			up := s.hubServes()
			s.push(repo, up.img, r)
			s.hosts("docker.io", fmt.Sprintf("[host.%q]\ncapabilities = [\"pull\", \"resolve\"]\n", r.URL()))
			s.pull(ref, up.img)
			s.fromMirrorSince(2, 0, r, up)
		}},
		{"server-on-ipv6", func(s *fixture) {
			r := s.registry(registry.Options{IP: "::1"})
			img := s.image(repo, r)
			s.hosts("docker.io", fmt.Sprintf("server = %q\n\n[host]\n", r.URL()))
			s.pull(ref, img)
			s.served(r, ok(viaHub(fetch{img: img}).all())...)
		}},
		{"empty-host-table-keeps-the-file", func(s *fixture) {
			r := s.registry(registry.Options{})
			img := s.image(repo, r)
			s.hosts("docker.io", fmt.Sprintf("server = %q\ncapabilities = [\"pull\", \"resolve\"]\n\n[host]\n", r.URL()))
			s.pull(ref, img)
			s.served(r, ok(fetch{path: hubAPI, tag: "v1", ns: "docker.io", img: img}.all())...)
		}},
		{"dial-timeout-is-accepted", func(s *fixture) {
			// 1.6 ignores it and keeps the rest of the file. On https only, as Berth writes it:
			// nothing listens there.
			r := s.registry(registry.Options{})
			img := s.image(repo, r)
			s.hosts("docker.io", fmt.Sprintf("server = %q\n\n[host.\"https://%s\"]\ncapabilities = [\"pull\", \"resolve\"]\ndial_timeout = \"2s\"\n", r.URL(), s.closedPort()))
			s.pull(ref, img)
			s.served(r, ok(fetch{path: hubAPI, tag: "v1", ns: "docker.io", img: img}.all())...)
		}},
		{"bad-file-fails-open", func(s *fixture) {
			r := s.registry(registry.Options{})
			up := s.hubServes()
			s.push(repo, up.img, r)
			s.hosts("docker.io", fmt.Sprintf("server = %q\ncapabilities = [\"pull\", \"resolv\"]\n[host]\n", r.URL()))
			s.pull(ref, up.img)
			s.asked(s.decoys[hub], up.all()...)
			s.served(r)
		}},
		{"missing-ca-fails-every-pull", func(s *fixture) {
			s.hubServes()
			s.hosts("docker.io", "[host.\"https://mirror.corp\"]\ncapabilities = [\"pull\", \"resolve\"]\nca = \"gone.pem\"\n")
			s.pullFails(ref)
		}},
		{"ca-beside-the-file", func(s *fixture) {
			// A relative path starts at the file's directory.
			r, ca := s.privateRegistry("mirror.corp:5000", registry.Options{})
			img := s.image(repo, r)
			s.hosts("docker.io", "server = \"https://mirror.corp:5000\"\ncapabilities = [\"pull\", \"resolve\"]\nca = \"ca.pem\"\n[host]\n")
			s.certsFile("docker.io/ca.pem", ca.PEM())
			s.pull(ref, img)
			s.served(r, ok(fetch{path: hubAPI, tag: "v1", ns: "docker.io", img: img}.all())...)
		}},
	}
}

// fromMirrorSince: releases before this one have ignored the file and ask Docker Hub.
func (s *fixture) fromMirrorSince(major, minor int, r *registry.Registry, up fetch) {
	s.Helper()
	if !s.release.AtLeast(major, minor, 0) {
		s.asked(s.decoys[hub], up.all()...)
		s.served(r)
		return
	}
	s.asked(s.decoys[hub])
	up.ns = "docker.io"
	s.served(r, ok(up.all())...)
}

// orderFacts: which directory wins, and which hosts are asked, in which order.
func orderFacts() []scenario {
	return []scenario{
		{"server-is-always-asked-last", func(s *fixture) {
			// A file without server still leads to the upstream.
			mirror := s.mirror(upstream.Status(http.StatusNotFound))
			up := s.hubServes()
			s.hosts("docker.io", fmt.Sprintf("[host.\"http://%s\"]\ncapabilities = [\"pull\", \"resolve\"]\n", mirror.Addr()))
			s.pull(ref, up.img)
			s.asked(s.decoys[hub], up.all()...)
			// The mirror is asked again for each object: containerd does not remember the failure.
			up.ns = "docker.io"
			s.asked(mirror, up.all()...)
		}},
		{"empty-directory-masks-default", func(s *fixture) {
			mirror := s.mirror(upstream.Status(http.StatusNotFound))
			up := s.hubServes()
			s.hosts("_default", fmt.Sprintf("[host.\"http://%s\"]\ncapabilities = [\"pull\", \"resolve\"]\n", mirror.Addr()))
			s.hosts("docker.io", "")
			s.pull(ref, up.img)
			s.asked(mirror)
			s.asked(s.decoys[hub], up.all()...)
		}},
		{"lone-host-table-masks-default", func(s *fixture) {
			// What Berth writes for a pass-through.
			mirror := s.mirror(upstream.Status(http.StatusNotFound))
			up := s.hubServes()
			s.hosts("_default", fmt.Sprintf("[host.\"http://%s\"]\ncapabilities = [\"pull\", \"resolve\"]\n", mirror.Addr()))
			s.hosts("docker.io", "[host]\n")
			s.pull(ref, up.img)
			s.asked(mirror)
			s.asked(s.decoys[hub], up.all()...)
		}},
		{"underscores-before-colon", func(s *fixture) {
			up := s.mirror(upstream.Status(http.StatusNotFound))
			first, second := s.registry(registry.Options{}), s.registry(registry.Options{})
			img := s.image("team/app:v1", first, second)
			const file = "server = %q\n[host]\n"
			s.hosts(up.Addr(), fmt.Sprintf(file, second.URL()))
			s.hosts(strings.Replace(up.Addr(), ":", "_", 1)+"_", fmt.Sprintf(file, first.URL()))
			s.pull(up.Addr()+"/team/app:v1", img)
			s.served(first, ok(fetch{path: "/v2/team/app", tag: "v1", ns: up.Addr(), img: img}.all())...)
			s.served(second)
		}},
		{"docker-hub-has-one-directory", func(s *fixture) {
			mirror := s.mirror(upstream.Status(http.StatusNotFound))
			up := s.hubServes()
			s.hosts("registry-1.docker.io", fmt.Sprintf("[host.\"http://%s\"]\ncapabilities = [\"pull\", \"resolve\"]\n", mirror.Addr()))
			s.pull(ref, up.img)
			s.asked(mirror)
			s.asked(s.decoys[hub], up.all()...)
		}},
		{"prefix-needs-override-path", func(s *fixture) {
			mirror := s.mirror(upstream.Status(http.StatusNotFound))
			s.hosts("docker.io", fmt.Sprintf("server = \"http://%s/v2/hub\"\n[host]\n", mirror.Addr()))
			s.pullFails(ref)
			s.asked(mirror, "HEAD /v2/hub/v2/library/app/manifests/v1?ns=docker.io")
		}},
	}
}

// headerFacts: which headers reach which host.
func headerFacts() []scenario {
	return []scenario{
		{"bare-header-goes-upstream", func(s *fixture) {
			up := s.hubServes()
			s.hosts("docker.io", "[header]\nX-Bare = \"here\"\n\n[host]\n")
			s.pull(ref, up.img)
			s.asked(s.decoys[hub], up.all()...)
			for _, r := range s.decoys[hub].Requests() {
				if r.Header.Get("X-Bare") != "here" {
					s.Errorf("%s came without the header of the root", r)
				}
			}
		}},
		{"host-header-goes-to-its-host", func(s *fixture) {
			mirror := s.mirror(upstream.Status(http.StatusNotFound))
			up := s.hubServes()
			s.keepSecret("robot", "header", mirror)
			s.hosts("docker.io", hostWithLogin("http://"+mirror.Addr(), "robot", "header"))
			s.pull(ref, up.img)
			s.asked(s.decoys[hub], up.all()...) // finish checks that it has no login
			up.ns = "docker.io"
			s.asked(mirror, up.all()...)
			s.authorization(mirror.Requests(), "Basic "+basic("robot", "header"))
		}},
		{"header-survives-a-wrong-credential", func(s *fixture) {
			c := upstream.NewContent()
			img := s.image(repo, c)
			mirror := s.mirror(upstream.Basic("robot", "header", c))
			s.hosts("docker.io", hostWithLogin("http://"+mirror.Addr(), "robot", "header"))
			s.pullAs(ref, &containerd.Credential{Username: "somebody", Password: "wrong"}, img)
			s.asked(mirror, fetch{path: hubAPI, tag: "v1", ns: "docker.io", img: img}.all()...)
			s.authorization(mirror.Requests(), "Basic "+basic("robot", "header"))
		}},
		{"credential-goes-to-every-host", func(s *fixture) {
			// The reason for the header channel: kubelet's credential has no host, and any host
			// that asks for it gets it. This also shows that a decoy sees a login that leaks.
			c := upstream.NewContent()
			img := s.image(repo, c)
			mirror := s.mirror(upstream.Basic("nobody", "nothing", c))
			s.decoys[hub].Answer(upstream.Basic("kubelet", "passed", c))
			s.hosts("docker.io", fmt.Sprintf("[host.\"http://%s\"]\ncapabilities = [\"pull\", \"resolve\"]\n", mirror.Addr()))
			s.pullAs(ref, &containerd.Credential{Username: "kubelet", Password: "passed"}, img)
			for _, d := range []*upstream.Decoy{mirror, s.decoys[hub]} {
				s.claimed[d] = true
				if !slices.ContainsFunc(d.Requests(), func(r upstream.Request) bool {
					return r.Header.Get("Authorization") == "Basic "+basic("kubelet", "passed")
				}) {
					s.Errorf("%s did not get the credential:\n%s", d.Addr(), indent(strings.Join(upstream.Lines(d.Requests()), "\n")))
				}
			}
		}},
		// Go's http client follows a redirect, so these three depend on the version of Go that
		// containerd was built with.
		{"redirect-to-another-host-strips", func(s *fixture) {
			s.redirected("store.corp:443")
		}},
		{"redirect-to-a-subdomain-keeps", func(s *fixture) {
			s.redirected("store.mirror.corp:443", "Basic "+basic("robot", "header"))
		}},
		{"redirect-to-another-port-keeps-but-on-debian", func(s *fixture) {
			// Debian's 1.6.20 was built with Go 1.19, which still compared
			// host and port.
			want := []string{"Basic " + basic("robot", "header")}
			if s.daemon.Version() == parts.Containerd1Version {
				want = nil
			}
			s.redirected("mirror.corp:8443", want...)
		}},
		{"token-realm-gets-the-header-since-2.1", func(s *fixture) {
			// A registry that requires Bearer: releases before 2.1 ask for an anonymous token, later
			// ones log in at the realm with the header.
			c := upstream.NewContent()
			img := s.image(repo, c)
			realm := s.mirror(upstream.Token("granted"))
			mirror := s.mirror(upstream.Bearer("http://"+realm.Addr()+"/token", "granted", c))
			s.hosts("docker.io", "server = \"https://registry-1.docker.io\"\n"+hostWithLogin("http://"+mirror.Addr(), "robot", "header"))
			s.pull(ref, img)
			s.claimed[mirror], s.claimed[realm] = true, true
			want := []string{"Basic " + basic("robot", "header")}
			if !s.release.HeaderToTokenServer() {
				want = nil
			}
			s.authorization(realm.Requests(), want...)
		}},
	}
}

// redirected pulls from mirror.corp, which has a login and sends blobs to a store at host:port, and
// checks the Authorization values of the requests to the store.
func (s *fixture) redirected(storeHost string, want ...string) {
	s.Helper()
	c := upstream.NewContent()
	img := s.image(repo, c)
	store := s.behindProxy(storeHost, c)
	mirror := s.behindProxy("mirror.corp", upstream.RedirectBlobs("https://"+storeHost, upstream.Basic("robot", "header", c)))
	s.hosts("docker.io", hostWithLogin("https://mirror.corp", "robot", "header"))
	s.pull(ref, img)
	whole := fetch{path: hubAPI, tag: "v1", ns: "docker.io", img: img}
	s.asked(mirror, whole.all()...)
	whole.ns = ""
	s.asked(store, whole.blobs()...)
	s.authorization(store.Requests(), want...)
}

// hostWithLogin returns a hosts.toml with one host and its Authorization header.
func hostWithLogin(url, username, password string) string {
	return fmt.Sprintf("[host.%q]\ncapabilities = [\"pull\", \"resolve\"]\n[host.%q.header]\nAuthorization = \"Basic %s\"\n",
		url, url, basic(username, password))
}

// authorization checks that there are requests, and that each has exactly these headers.
func (s *fixture) authorization(requests []upstream.Request, want ...string) {
	s.Helper()
	if len(requests) == 0 {
		s.Error("no request came")
	}
	for _, r := range requests {
		if strings.Contains(r.Header.Get("User-Agent"), "berth") {
			continue // apply asks what the registry accepts
		}
		if got := r.Header.Values("Authorization"); !slices.Equal(got, want) {
			s.Errorf("%s came with Authorization %q, want %q", r, got, want)
		}
	}
}
