// Package nodetest helps the tests of packages that write to a node: configs, what containerd
// and the credential provider do with the files on it, and a private CA. Only tests import it.
// Start at [ParseConfig].
package nodetest

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	dockerconfig "github.com/containerd/containerd/v2/core/remotes/docker/config"

	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/credprovider"
	"github.com/berth-registry/berth/hostsconf"
	"github.com/berth-registry/berth/internal/dockerhub"
	nodes "github.com/berth-registry/berth/node"
)

// Head is the first two lines of every config.
const Head = "apiVersion: berth/v1alpha1\nkind: RegistryConfig\n"

// CertsDir is the default certs.d.
const CertsDir = "/etc/containerd/certs.d"

// ParseConfig loads a config without its first two lines.
func ParseConfig(t testing.TB, body string) *config.Config {
	t.Helper()
	cfg, _, err := config.Parse("config.yaml", []byte("apiVersion: berth/v1alpha1\nkind: RegistryConfig\n"+body))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// ShowDirectory formats a directory as "upstream: host, host | server".
func ShowDirectory(d hostsconf.Directory) string {
	host := func(h hostsconf.Host) string {
		s := h.URL.String()
		if h.URL.OverridePath {
			s += "+"
		}
		if !h.Authorization.IsZero() {
			value, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(h.Authorization.Reveal(), "Basic "))
			s += " as " + string(value)
		}
		if h.TLS.SkipVerify {
			s += " unverified"
		}
		return s
	}
	var hosts []string
	for _, h := range d.Hosts {
		hosts = append(hosts, host(h))
	}
	s := fmt.Sprintf("%s: %s |", d.Upstream, strings.Join(hosts, ", "))
	if d.Server != nil {
		s += " " + host(*d.Server)
	}
	return s
}

// ServedLogin returns the name of the login that the rules on disk give for an image, or "" and
// why none is given.
func ServedLogin(t *testing.T, root, image string) (string, error) {
	t.Helper()
	rules, err := credprovider.ReadRules(filepath.Join(root, credprovider.RulesFile))
	if err != nil {
		t.Fatal(err)
	}
	plan, err := rules.Decide(image)
	switch {
	case err != nil:
		return "", err
	case plan.Login != nil:
		return plan.Login.Name(), nil
	}
	return plan.ECR.Host, nil
}

// AskedHosts returns the hosts that containerd would ask now, by its own reader.
func AskedHosts(t *testing.T, root, registry string) []string {
	t.Helper()
	r, err := hostsconf.Lookup(filepath.Join(root, CertsDir), registry)
	if err != nil {
		return nil // the pull fails
	}
	var hosts []string
	for _, h := range r.Hosts {
		hosts = append(hosts, dockerhub.Canonical(h.Host))
	}
	return hosts
}

// Lookup returns the URLs that containerd asks, in order.
func Lookup(t *testing.T, root, registry string) string {
	t.Helper()
	r, err := hostsconf.Lookup(filepath.Join(root, CertsDir), registry)
	if err != nil || r.Ignored != nil {
		t.Fatal(err, r.Ignored)
	}
	var all []string
	for _, h := range r.Hosts {
		all = append(all, h.URL())
	}
	return strings.Join(all, " ")
}

// Symlink replaces name by a symlink to target.
func Symlink(t *testing.T, target, name string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, name+".new"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(name+".new", name); err != nil {
		t.Fatal(err)
	}
}

// Authority is a private CA with a server that accepts only its clients.
type Authority struct {
	CA, Cert, Key []byte // PEM; cert and key are a client's
	addr          string
}

// NewAuthority starts a server with a certificate for names.
func NewAuthority(t *testing.T, names ...string) Authority {
	t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "private"}, DNSNames: names, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(nil, template, template, public, private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	a := Authority{CA: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
	a.Cert, a.Key = a.CA, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(a.CA)
	pair, err := tls.X509KeyPair(a.Cert, a.Key)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool}
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	a.addr = server.Listener.Addr().String()
	return a
}

// Reaches reports whether containerd, with the files below certs, reaches the registry itself
// when an image names it.
func (a Authority) Reaches(t *testing.T, certs, registry string) bool {
	t.Helper()
	hosts, err := dockerconfig.ConfigureHosts(t.Context(), dockerconfig.HostOptions{
		HostDir: dockerconfig.HostDirFromRoot(certs),
	})(registry)
	if err != nil {
		t.Logf("containerd: %v", err)
		return false
	}
	last := hosts[len(hosts)-1]
	if want := hostsconf.UpstreamURL(registry, false).Host; last.Host != want {
		t.Errorf("the last host is %s, want %s", last.Host, want)
	}
	transport := last.Client.Transport.(*http.Transport).Clone()
	transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, a.addr)
	}
	defer transport.CloseIdleConnections()
	response, err := (&http.Client{Transport: transport}).Get(last.Scheme + "://" + last.Host + "/v2/")
	if err != nil {
		return false
	}
	response.Body.Close()
	return true
}

// SetRelease sets the release of a node's containerd, "" for an unknown one.
func SetRelease(m *nodes.Machine, release string) {
	if release == "" {
		return
	}
	m.Version = func(context.Context, string) (string, error) {
		return "containerd github.com/containerd/containerd v" + release + " x", nil
	}
}
