package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/berth-registry/berth/test/fakes/upstream"
	"github.com/berth-registry/berth/test/pki"
)

// hostTables returns a hosts.toml with these mirrors.
func hostTables(urls ...string) string {
	text := ""
	for _, u := range urls {
		text += fmt.Sprintf("[host.%q]\n  capabilities = [\"pull\", \"resolve\"]\n", u)
	}
	return text
}

func traceRows() []traceRow {
	after := func(answer http.Handler) func(*traced) {
		return func(s *traced) { s.hosts("docker.io", hostTables("http://"+s.decoy(answer).Addr(), s.url())) }
	}
	header := func(s *traced, secret string) {
		s.keepSecret(robot, secret, s.mirror.Decoy)
		s.hosts("docker.io", hostTables(s.url())+fmt.Sprintf("[host.%q.header]\n  Authorization = \"Basic %s\"\n", s.url(), basic(robot, secret)))
	}
	// guarded is a mirror with Bearer whose token server requires the login.
	guarded := func(s *traced) {
		tokens := s.decoy(upstream.Basic(robot, password, upstream.Token("good")))
		s.use(upstream.Bearer("http://"+tokens.Addr()+"/token", "good", s.content))
	}
	return []traceRow{
		{"plain-upstream", func(*traced) {}, "hub", "-"},
		{"one-mirror", func(s *traced) { s.hosts("docker.io", hostTables(s.url())) }, "mirror", "-"},
		{"after-404", after(upstream.Status(404)), "mirror", "-"},
		{"after-401", after(upstream.Status(401)), "mirror", "-"},
		{"after-500", after(upstream.Status(500)), "mirror", "-"},
		{"after-refused", func(s *traced) { s.hosts("docker.io", hostTables("http://"+s.closedPort(), s.url())) }, "mirror", "-"},
		{"after-black-hole", func(s *traced) {
			if s.older {
				// It does not know dial_timeout: see TestTraceBlackHole.
				s.hosts("docker.io", hostTables(s.url()))
				return
			}
			s.hosts("docker.io", hostTables("https://"+s.blackHole())+"  dial_timeout = \"1s\"\n"+hostTables(s.url()))
		}, "mirror", "-"},
		{"mirror-only-hit", func(s *traced) { s.hosts("docker.io", fmt.Sprintf("server = %q\n[host]\n", s.url())) }, "mirror", "-"},
		{"mirror-only-miss", func(s *traced) {
			s.hosts("docker.io", fmt.Sprintf("server = \"http://%s\"\n[host]\n", s.decoy(upstream.Status(404)).Addr()))
		}, "", "-"},
		{"default", func(s *traced) { s.hosts("_default", hostTables(s.url())) }, "mirror", "-"},
		{"default-and-empty-directory", func(s *traced) { s.hosts("_default", hostTables(s.url())); s.hosts("docker.io", "") }, "hub", "-"},
		{"default-and-foreign-file", func(s *traced) {
			s.hosts("_default", hostTables("http://"+s.closedPort()))
			s.hosts("docker.io", hostTables(s.url()))
		}, "mirror", "-"},
		{"default-and-pass-through", func(s *traced) {
			s.hosts("_default", hostTables(s.url()))
			s.hosts("docker.io", "server = \"https://registry-1.docker.io\"\n[host]\n")
		}, "hub", "-"},
		{"port-directory", func(s *traced) { s.onPort(strings.NewReplacer(":", "_").Replace, "_") }, "mirror", "-"},
		{"port-directory-with-colon", func(s *traced) { s.onPort(func(a string) string { return a }, "") }, "mirror", "-"},
		{"prefix", func(s *traced) {
			s.use(http.StripPrefix("/v2/hub", underV2(s.content)))
			s.hosts("docker.io", fmt.Sprintf("[host.\"%s/v2/hub\"]\n  override_path = true\n", s.url()))
		}, "mirror", "-"},
		{"api-root", func(s *traced) {
			s.use(http.StripPrefix("/api/hub", s.content))
			s.hosts("docker.io", hostTables(s.url()+"/api/hub/v2"))
		}, "mirror", "-"},
		{"literal-path", func(s *traced) {
			s.use(http.StripPrefix("/odd", underV2(s.content)))
			s.hosts("docker.io", fmt.Sprintf("[host.\"%s/odd\"]\n  override_path = true\n", s.url()))
		}, "mirror", "-"},
		{"header", func(s *traced) { s.use(upstream.Basic(robot, password, s.content)); header(s, password) }, "mirror", "-"},
		{"header-expired", func(s *traced) { s.use(upstream.Status(403)); header(s, password) }, "hub", "-"},
		{"header-wrong", func(s *traced) { s.use(upstream.Basic(robot, password, s.content)); header(s, "something else") }, "hub", "-"},
		{"bearer-with-login", func(s *traced) {
			guarded(s)
			s.hosts("docker.io", hostTables(s.url())+fmt.Sprintf("[host.%q.header]\n  Authorization = \"Basic %s\"\n", s.url(), basic(robot, password)))
		}, "mirror", "hub before 2.1"},
		{"bearer-without-login", func(s *traced) { guarded(s); s.hosts("docker.io", hostTables(s.url())) }, "hub", "-"},
		{"bearer-anonymous", func(s *traced) {
			tokens := s.decoy(upstream.Token("good"))
			s.use(upstream.Bearer("http://"+tokens.Addr()+"/token", "good", s.content))
			s.hosts("docker.io", hostTables(s.url()))
		}, "mirror", "-"},
		{"unknown-ca", func(s *traced) { s.secure(nil); s.hosts("docker.io", hostTables("https://"+s.mirror.Addr())) }, "hub", "-"},
		{"right-ca", func(s *traced) {
			s.certsFile("docker.io/ca.pem", s.secure(nil))
			s.hosts("docker.io", hostTables("https://"+s.mirror.Addr())+"  ca = \"ca.pem\"\n")
		}, "mirror", "-"},
		{"expired-certificate", func(s *traced) {
			pair := expired(s.fixture)
			s.certsFile("docker.io/ca.pem", s.secure(&pair))
			s.hosts("docker.io", hostTables("https://"+s.mirror.Addr())+"  ca = \"ca.pem\"\n")
		}, "hub", "-"},
		{"broken-file", func(s *traced) { s.hosts("docker.io", "[host."+s.url()+"\n") }, "hub", "-"},
		{"duplicate-host", func(s *traced) { s.hosts("docker.io", hostTables(s.url(), s.url())) }, "hub", "-"},
		{"missing-ca", func(s *traced) { s.hosts("docker.io", hostTables(s.url())+"  ca = \"gone.pem\"\n") }, "", "-"},
		{"pull-only-with-tag", func(s *traced) {
			s.hosts("docker.io", fmt.Sprintf("[host.%q]\n  capabilities = [\"pull\"]\n", s.url()))
		}, "mirror", "-"},
		{"pull-only-with-digest", func(s *traced) {
			s.ref = "docker.io/library/app@" + s.img.Digest
			s.decoys[hub].Answer(upstream.Status(500))
			s.hosts("docker.io", fmt.Sprintf("[host.%q]\n  capabilities = [\"pull\"]\n", s.url()))
		}, "mirror", "-"},
		{"http-with-tls-keys", func(s *traced) {
			s.hosts("docker.io", fmt.Sprintf("[host.%q]\n  skip_verify = true\n", s.url()))
		}, "mirror", "-"},
		{"http-with-ca", func(s *traced) {
			s.certsFile("docker.io/ca.pem", s.authority("of nobody here").PEM())
			s.hosts("docker.io", fmt.Sprintf("[host.%q]\n  ca = \"ca.pem\"\n", s.url()))
		}, "mirror", "-"},
		{"host-listed-twice", func(s *traced) {
			s.hosts("docker.io", hostTables(s.url(), "http://"+s.closedPort())+fmt.Sprintf("[host.%q.header]\n  X-Org = \"a\"\n", s.url()))
		}, "mirror", "-"},
		{"redirect-of-blobs", func(s *traced) {
			store, err := upstream.Listen("127.0.0.2", nil, s.content)
			if err != nil {
				s.Fatal(err)
			}
			s.Cleanup(func() { must(s.T, store.Close()) })
			s.use(upstream.Basic(robot, password, upstream.RedirectBlobs("http://"+store.Addr(), s.content)))
			header(s, password)
		}, "mirror", "-"},
		{"no-host-table", func(s *traced) { s.hosts("docker.io", fmt.Sprintf("server = %q\n", s.url())) }, "mirror", "hub"},
		{"referrers", func(s *traced) {
			s.hosts("docker.io", fmt.Sprintf("[host.%q]\n  capabilities = [\"pull\", \"resolve\", \"referrers\"]\n", s.url()))
		}, "mirror", "hub before 2.2"},
		{"ipv6-mirror", func(s *traced) {
			s.listen("::1", nil)
			s.hosts("docker.io", hostTables(s.url()))
		}, "mirror", "hub"},
		{"ipv6-registry", func(s *traced) {
			s.listen("::1", nil)
			s.ref = s.mirror.Addr() + "/library/app:v1"
		}, "mirror", " before 1.7"},
	}
}

// onPort pulls from a registry on a port that has no images itself.
func (s *traced) onPort(format func(string) string, end string) {
	empty := s.decoy(upstream.Status(404))
	s.ref = empty.Addr() + "/library/app:v1"
	s.hosts(format(empty.Addr())+end, hostTables(s.url()))
}

// underV2 passes requests below /v2 to next.
func underV2(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.URL.Path = "/v2" + r.URL.Path
		next.ServeHTTP(w, r)
	})
}

// listen moves the good mirror to another address, with TLS if there is a pair.
func (s *traced) listen(ip string, pair *pki.Pair) {
	s.Helper()
	c := &layerSource{}
	var err error
	if c.Decoy, err = upstream.Listen(ip, pair, c.of(s.content)); err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { must(s.T, c.Close()) })
	s.mirror, s.sources[c.Addr()] = c, c
}

// secure gives the good mirror a certificate, a new one if pair is nil, and returns its authority.
func (s *traced) secure(pair *pki.Pair) []byte {
	s.Helper()
	if pair != nil {
		s.listen("127.0.0.1", pair)
		return pair.CertPEM
	}
	ca := s.authority("of the mirror")
	fresh, err := ca.Server("127.0.0.1")
	if err != nil {
		s.Fatal(err)
	}
	s.listen("127.0.0.1", &fresh)
	return ca.PEM()
}

// expired returns a self-signed, expired certificate for 127.0.0.1.
func expired(s *fixture) pki.Pair {
	s.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		s.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "expired"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(-24 * time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		s.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		s.Fatal(err)
	}
	return pki.Pair{
		CertPEM: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		KeyPEM:  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}),
	}
}
