//go:build e2e

package docker

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"io/fs"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/berth-registry/berth/test/fakes/upstream"
	"github.com/berth-registry/berth/test/pki"
	"github.com/berth-registry/berth/test/sample"
)

// certsDir is the directory of hosts.toml files below the root that berth is given.
const certsDir = "etc/docker/certs.d"

// The login of most scenarios.
const (
	robot    = "robot"
	password = "correct horse"
)

// The names of Docker Hub: in references, and of its registry.
const (
	hub  = "registry-1.docker.io"
	repo = "library/app:v1"
	ref  = "docker.io/" + repo
)

// machine is one dockerd with what it trusts and reaches, for all scenarios.
type machine struct {
	*engine
	env     []string // of a program on the node: its proxy, and the authorities that it trusts
	proxy   *upstream.Proxy
	changed bool // whether dockerd has another daemon.json than at the start
}

// newMachine starts dockerd. It reaches the decoys behind the proxy, and trusts their authority
// alone.
func newMachine(t *testing.T) *machine {
	t.Helper()
	ca, err := pki.New("the Internet of the tests")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	m := &machine{}
	if m.proxy, err = upstream.NewProxy(ca); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { must(t, m.proxy.Close()) })
	roots := filepath.Join(dir, "roots.pem")
	must(t, os.WriteFile(roots, ca.PEM(), 0o644))
	m.env = append(m.proxy.Env(), "SSL_CERT_FILE="+roots, "SSL_CERT_DIR="+filepath.Join(dir, "none"))
	m.engine = startEngine(t, m.env)
	return m
}

// scenario is one row of a table.
type scenario struct {
	name string
	run  func(*fixture)
}

// run runs the scenarios in order on one dockerd, beside other tables. None restarts it.
func run(t *testing.T, scenarios []scenario) {
	t.Parallel()
	m := newMachine(t)
	for _, row := range scenarios {
		t.Run(row.name, func(t *testing.T) { row.run(newFixture(t, m)) })
	}
}

// fixture is one scenario: new decoys, nothing in /etc/docker. At its end a decoy that the scenario
// did not name must have received no request, and each secret must have reached its own decoy
// alone.
type fixture struct {
	*testing.T
	*machine
	decoys  map[string]*decoy
	secrets []secret
}

// decoy is a server that records its requests.
type decoy struct {
	*upstream.Decoy
	name    string
	claimed bool // whether the scenario expects requests

	mu    sync.Mutex
	forms []string // the bodies of forms, which token servers are sent
}

// secret is a login, and the decoys that may see it.
type secret struct {
	username, password string
	at                 []*decoy
}

func newFixture(t *testing.T, m *machine) *fixture {
	t.Helper()
	s := &fixture{T: t, machine: m, decoys: map[string]*decoy{}}
	s.clear()
	if m.changed {
		m.reload(t, settings{})
		m.changed = false
	}
	must(t, m.proxy.Reset())
	for _, host := range []string{hub, "quay.io"} {
		s.behindProxy(host, upstream.Status(http.StatusNotFound))
	}
	began := m.logSize()
	t.Cleanup(func() {
		for _, problem := range s.problems() {
			t.Error(problem)
		}
		if t.Failed() {
			t.Logf("dockerd:\n%s", m.log(began))
		}
	})
	return s
}

// clear removes what an earlier scenario left on the node. /etc/docker itself is mounted, so it
// stays.
func (s *fixture) clear() {
	s.Helper()
	keep := []string{s.root, filepath.Dir(s.etc()), s.etc(), filepath.Dir(s.socket()), s.socket()}
	must(s.T, filepath.WalkDir(s.root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || slices.Contains(keep, path) {
			return err
		}
		if err := os.RemoveAll(path); err != nil || !e.IsDir() {
			return err
		}
		return fs.SkipDir
	}))
}

// daemonJSON gives dockerd another daemon.json, without a restart.
func (s *fixture) daemonJSON(to settings) {
	s.Helper()
	s.changed = true
	s.reload(s.T, to)
}

// behindProxy puts a decoy with a certificate that dockerd trusts behind a name of the Internet.
func (s *fixture) behindProxy(host string, answer http.Handler) *decoy {
	s.Helper()
	d := &decoy{name: host}
	var err error
	if d.Decoy, err = s.proxy.Decoy(host, d.listen(answer)); err != nil {
		s.Fatal(err)
	}
	s.decoys[host] = d
	return d
}

// mirror starts a decoy that speaks plain http on a port of loopback.
func (s *fixture) mirror(answer http.Handler) *decoy {
	s.Helper()
	d := &decoy{}
	var err error
	if d.Decoy, err = upstream.Listen("127.0.0.1", nil, d.listen(answer)); err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { must(s.T, d.Close()) })
	d.name = d.Addr()
	s.decoys[d.name] = d
	return d
}

// private starts a decoy behind host, name:port, with a certificate of an authority that dockerd
// does not trust, and returns that authority. With clients it requires a certificate of theirs.
func (s *fixture) private(host string, clients *pki.CA, answer http.Handler) (*decoy, *pki.CA) {
	s.Helper()
	ca := s.authority()
	name, _, _ := strings.Cut(host, ":")
	pair, err := ca.Server(name)
	must(s.T, err)
	certificate, err := pair.TLS()
	must(s.T, err)
	d := s.mirror(answer)
	front := httptest.NewUnstartedServer(d)
	front.Config.ErrorLog = log.New(io.Discard, "", 0)
	front.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
	if clients != nil {
		front.TLS.ClientCAs, front.TLS.ClientAuth = clients.Pool(), tls.RequireAndVerifyClientCert
	}
	front.StartTLS()
	s.Cleanup(front.Close)
	s.proxy.Forward(host, front.Listener.Addr().String())
	d.name = host
	return d, ca
}

func (s *fixture) authority() *pki.CA {
	s.Helper()
	ca, err := pki.New("a private authority")
	must(s.T, err)
	return ca
}

// maxForm is longer than any form that a client sends to a token server.
const maxForm = 64 << 10

// listen answers as next, and keeps the forms.
func (d *decoy) listen(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
			raw, _ := io.ReadAll(io.LimitReader(r.Body, maxForm)) // as much as came
			r.Body = io.NopCloser(bytes.NewReader(raw))
			d.mu.Lock()
			d.forms = append(d.forms, string(raw))
			d.mu.Unlock()
		}
		next.ServeHTTP(w, r)
	})
}

// answerWith replaces what the decoy answers.
func (d *decoy) answerWith(next http.Handler) { d.Answer(d.listen(next)) }

// url returns the address of a decoy that speaks plain http.
func (d *decoy) url() string { return "http://" + d.Addr() }

// keep declares a login that only these decoys may see.
func (s *fixture) keep(username, password string, at ...*decoy) {
	s.secrets = append(s.secrets, secret{username, password, at})
}

func basic(username, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(username+":"+password))
}

// saw reports whether the decoy received the secret, in a header or a form.
func (d *decoy) saw(s secret) bool {
	for _, r := range d.Requests() {
		for _, values := range r.Header {
			for _, v := range values {
				if strings.Contains(v, s.password) || v == basic(s.username, s.password) {
					return true
				}
			}
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.ContainsFunc(d.forms, func(form string) bool {
		return strings.Contains(form, url.QueryEscape(s.password))
	})
}

// problems returns requests that must not have been made: to decoys that the scenario did not name,
// with logins of other hosts, to unknown hosts.
//
// A decoy may receive the agent's probes.
func (s *fixture) problems() []string {
	var found []string
	for _, name := range slices.Sorted(maps.Keys(s.decoys)) {
		d := s.decoys[name]
		requests := slices.DeleteFunc(d.Requests(), func(r upstream.Request) bool {
			return strings.HasPrefix(r.Header.Get("User-Agent"), "berth")
		})
		if !d.claimed && len(requests) > 0 {
			lines := strings.Join(upstream.Lines(requests), "\n\t")
			found = append(found, fmt.Sprintf("%s was asked, and must not be:\n\t%s", d.name, lines))
		}
	}
	found = append(found, s.leaks()...)
	for _, refused := range s.proxy.Refused() {
		found = append(found, "dockerd wanted to leave the machine: "+refused)
	}
	return found
}

// leaks returns the logins that reached another decoy than their own.
func (s *fixture) leaks() []string {
	var found []string
	for _, name := range slices.Sorted(maps.Keys(s.decoys)) {
		d := s.decoys[name]
		for _, secret := range s.secrets {
			if d.saw(secret) && !slices.Contains(secret.at, d) {
				found = append(found, fmt.Sprintf("%s received the login of %s, which is not for it",
					d.name, secret.username))
			}
		}
	}
	return found
}

// image makes a new image and pushes it to each registry under reference.
func (s *fixture) image(reference string, to ...*upstream.Content) sample.Image {
	s.Helper()
	img, err := sample.New()
	must(s.T, err)
	s.store(reference, img, to...)
	return img
}

func (s *fixture) store(reference string, img sample.Image, to ...*upstream.Content) {
	s.Helper()
	for _, c := range to {
		must(s.T, c.Push(s.Context(), reference, img))
	}
}

// stocked returns a registry with a new image.
func (s *fixture) stocked(reference string) (*upstream.Content, sample.Image) {
	s.Helper()
	c := upstream.NewContent()
	return c, s.image(reference, c)
}

// hosts writes a hosts.toml into a directory of certs.d.
func (s *fixture) hosts(dir, content string) {
	s.Helper()
	s.certsFile(filepath.Join(dir, "hosts.toml"), []byte(content))
}

// certsFile writes a file below certs.d.
func (s *fixture) certsFile(name string, content []byte) {
	s.Helper()
	path := filepath.Join(s.root, certsDir, name)
	must(s.T, os.MkdirAll(filepath.Dir(path), 0o755))
	must(s.T, os.WriteFile(path, content, 0o644))
}

// pull pulls without a login and checks that the result is img.
func (s *fixture) pull(ref string, img sample.Image) {
	s.Helper()
	s.pullAs(ref, nil, img)
}

// pullAs pulls with the login of a client.
func (s *fixture) pullAs(ref string, as *login, img sample.Image) {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), patience)
	defer cancel()
	got, err := s.engine.pull(ctx, ref, as)
	if err != nil {
		s.Fatalf("pull %s: %v", ref, err)
	}
	if got != img.Digest {
		s.Fatalf("pull %s: got %s, want %s", ref, got, img.Digest)
	}
}

// pullFails checks that a pull without a login fails.
func (s *fixture) pullFails(ref string) {
	s.Helper()
	s.pullAsFails(ref, nil)
}

func (s *fixture) pullAsFails(ref string, as *login) {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), patience)
	defer cancel()
	got, err := s.engine.pull(ctx, ref, as)
	if err == nil {
		s.Fatalf("pull %s: got %s, and it must fail", ref, got)
	}
	if ctx.Err() != nil {
		s.Fatalf("pull %s: %v", ref, err)
	}
}

// pushed pushes an image that dockerd has under another reference.
func (s *fixture) pushed(from, to string, as *login) error {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), patience)
	defer cancel()
	must(s.T, s.tag(ctx, from, to))
	return s.push(ctx, to, as)
}

// buildFrom builds on top of base; config is the docker command's config.json.
func (s *fixture) buildFrom(base, config string) {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), patience)
	defer cancel()
	if output, err := s.build(ctx, base, config); err != nil {
		s.Fatalf("docker build FROM %s: %v\n%s", base, err, output)
	}
}

// served checks that the decoy was asked for each blob of img, and so was the source of the image.
func (s *fixture) served(d *decoy, img sample.Image) {
	s.Helper()
	d.claimed = true
	for _, digest := range img.Blobs {
		if !slices.ContainsFunc(d.Requests(), func(r upstream.Request) bool {
			return r.Method == http.MethodGet && strings.HasSuffix(r.Path, "/blobs/"+digest)
		}) {
			s.Errorf("%s was not asked for blob %s; it was asked\n\t%s", d.name, digest,
				strings.Join(upstream.Lines(d.Requests()), "\n\t"))
		}
	}
}

// authorization checks that requests came, and that each has exactly these Authorization headers.
func (s *fixture) authorization(d *decoy, want ...string) {
	s.Helper()
	d.claimed = true
	requests := d.Requests()
	if len(requests) == 0 {
		s.Errorf("%s was not asked", d.name)
	}
	for _, r := range requests {
		if got := r.Header.Values("Authorization"); !slices.Equal(got, want) {
			s.Errorf("%s: %s came with Authorization %q, want %q", d.name, r, got, want)
		}
	}
}

// received checks that the decoy has seen a login.
func (s *fixture) received(d *decoy, username, password string) {
	s.Helper()
	d.claimed = true
	if !d.saw(secret{username: username, password: password}) {
		s.Errorf("%s has not seen the login of %s; it was asked\n\t%s", d.name, username,
			strings.Join(upstream.Lines(d.Requests()), "\n\t"))
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
