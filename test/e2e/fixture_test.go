package e2e

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/berth-registry/berth/test/e2e/containerd"
	"github.com/berth-registry/berth/test/e2e/registry"
	"github.com/berth-registry/berth/test/fakes/upstream"
	"github.com/berth-registry/berth/test/pki"
	"github.com/berth-registry/berth/test/sample"
	"golang.org/x/sys/unix"
)

// internet lists the names that a pull may ask. Each is a decoy without images, until a scenario
// changes it.
var internet = [...]string{"registry-1.docker.io", "ghcr.io", "quay.io", "registry.k8s.io"}

// fixture is one scenario on one containerd: new registries and decoys, no hosts.toml. At its end
// each decoy must have received exactly the requests that the scenario named; a decoy that it did
// not name, none.
type fixture struct {
	*testing.T
	*daemonFixture
	config  string // the RegistryConfig of the scenario
	decoys  map[string]*upstream.Decoy
	claimed map[*upstream.Decoy]bool
	secrets []secret
}

// secret is a login and the one decoy that may see it, if any.
type secret struct {
	password string
	basic    string // as in an Authorization header
	at       *upstream.Decoy
}

func newFixture(t *testing.T, b *daemonFixture) *fixture {
	t.Helper()
	s := &fixture{T: t, daemonFixture: b, decoys: map[string]*upstream.Decoy{}, claimed: map[*upstream.Decoy]bool{}}
	s.config = filepath.Join(t.TempDir(), "config.yaml")
	if err := os.RemoveAll(b.root); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(b.root, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := b.proxy.Reset(); err != nil {
		t.Fatal(err)
	}
	for _, host := range internet {
		s.decoys[host] = s.behindProxy(host, upstream.Status(http.StatusNotFound))
	}
	began := b.daemon.LogSize()
	t.Cleanup(func() {
		s.finish()
		if t.Failed() {
			t.Logf("containerd %s:\n%s", b.daemon.Version(), indent(interesting(b.daemon.Log(began))))
		}
	})
	return s
}

// behindProxy puts a decoy behind a name of the Internet.
func (s *fixture) behindProxy(host string, answer http.Handler) *upstream.Decoy {
	s.Helper()
	d, err := s.proxy.Decoy(host, answer)
	if err != nil {
		s.Fatal(err)
	}
	s.decoys[host] = d
	return d
}

// mirror starts a decoy that speaks plain http on a port of loopback.
func (s *fixture) mirror(answer http.Handler) *upstream.Decoy {
	s.Helper()
	d, err := upstream.Listen("127.0.0.1", nil, answer)
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { must(s.T, d.Close()) })
	s.decoys[d.Addr()] = d
	return d
}

// registry starts a docker-registry.
func (s *fixture) registry(o registry.Options) *registry.Registry {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), 2*time.Minute)
	defer cancel()
	r, err := registry.Start(ctx, s.parts.Registry, o)
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { must(s.T, r.Close()) })
	if o.Username != "" {
		s.keepSecret(o.Username, o.Password, nil)
	}
	return r
}

// privateRegistry starts a docker-registry with TLS behind host, name:port, and returns it with its
// private authority.
func (s *fixture) privateRegistry(host string, o registry.Options) (*registry.Registry, *pki.CA) {
	s.Helper()
	ca, err := pki.New("private authority of " + host)
	if err != nil {
		s.Fatal(err)
	}
	o.CA = ca
	o.Name, _, _ = strings.Cut(host, ":")
	r := s.registry(o)
	s.proxy.Forward(host, r.Addr())
	return r, ca
}

// keepSecret declares a login that no decoy but at may see.
func (s *fixture) keepSecret(username, password string, at *upstream.Decoy) {
	s.secrets = append(s.secrets, secret{password: password, basic: basic(username, password), at: at})
}

func basic(username, password string) string {
	return base64.StdEncoding.EncodeToString([]byte(username + ":" + password))
}

// closedPort returns an address of loopback that refuses connections until the scenario ends: the
// port is bound, so no other process gets it, and not listening.
func (s *fixture) closedPort() string {
	s.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { must(s.T, unix.Close(fd)) })
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		s.Fatal(err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		s.Fatal(err)
	}
	return fmt.Sprintf("127.0.0.1:%d", name.(*unix.SockaddrInet4).Port)
}

// pusher stores images.
type pusher interface {
	Push(ctx context.Context, reference string, img sample.Image) error
}

// image makes a new image and pushes it to each registry under reference.
func (s *fixture) image(reference string, to ...pusher) sample.Image {
	s.Helper()
	img, err := sample.New()
	if err != nil {
		s.Fatal(err)
	}
	s.push(reference, img, to...)
	return img
}

func (s *fixture) push(reference string, img sample.Image, to ...pusher) {
	s.Helper()
	for _, p := range to {
		if err := p.Push(s.Context(), reference, img); err != nil {
			s.Fatal(err)
		}
	}
}

// file writes a file with mode 0600 that a RegistryConfig can name, and returns its path.
func (s *fixture) file(name, content string) string {
	s.Helper()
	path := filepath.Join(s.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		s.Fatal(err)
	}
	return path
}

// hosts writes a hosts.toml by hand, for tests of how containerd reads it. Without content it only
// creates the directory.
func (s *fixture) hosts(dir, content string) {
	s.Helper()
	if content != "" {
		s.certsFile(filepath.Join(dir, "hosts.toml"), []byte(content))
		return
	}
	if err := os.MkdirAll(filepath.Join(s.root, certsDir, dir), 0o755); err != nil {
		s.Fatal(err)
	}
}

// certsFile writes a file below certs.d.
func (s *fixture) certsFile(name string, content []byte) {
	s.Helper()
	path := filepath.Join(s.root, certsDir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		s.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o644); err != nil {
		s.Fatal(err)
	}
}

// pullTime is far more than a pull on loopback takes, and less than containerd waits for a host
// that drops packets.
const pullTime = 20 * time.Second

// pull pulls ref without a credential and checks that it is img.
func (s *fixture) pull(ref string, img sample.Image) {
	s.Helper()
	s.pullAs(ref, nil, img)
}

// pullAs pulls with a credential as kubelet passes it.
func (s *fixture) pullAs(ref string, c *containerd.Credential, img sample.Image) {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), pullTime)
	defer cancel()
	got, err := s.daemon.Pull(ctx, ref, c)
	if err != nil {
		s.Fatalf("pull %s: %v", ref, err)
	}
	if got.ID != img.Blobs[0] {
		s.Fatalf("pull %s: got image %s (%q), want %s", ref, got.ID, got.RepoDigests, img.Blobs[0])
	}
}

// pullFails checks that a pull fails.
func (s *fixture) pullFails(ref string) {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), pullTime)
	defer cancel()
	got, err := s.daemon.Pull(ctx, ref, nil)
	if err == nil {
		s.Fatalf("pull %s: got %q, and it must fail", ref, got.RepoDigests)
	}
	if ctx.Err() != nil {
		s.Fatalf("pull %s: %v", ref, err)
	}
}

// runPod starts a pod, for which containerd pulls the sandbox image.
func (s *fixture) runPod(name string) {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), pullTime)
	defer cancel()
	if err := s.daemon.RunPod(ctx, name); err != nil {
		s.Fatalf("run pod %s: %v", name, err)
	}
}

// interesting drops containerd's debug lines that do not concern pulls.
func interesting(log string) string {
	var kept []string
	for line := range strings.Lines(log) {
		if !strings.Contains(line, "level=debug") || strings.Contains(line, "host=") || strings.Contains(line, "url=") {
			kept = append(kept, strings.TrimSuffix(line, "\n"))
		}
	}
	return strings.Join(kept[max(0, len(kept)-40):], "\n")
}
