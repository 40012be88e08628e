package pki

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func newCA(t *testing.T) *CA {
	t.Helper()
	ca, err := New("of a test")
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

// TestVerify checks the certificates with crypto/x509.
func TestVerify(t *testing.T) {
	const server, client = x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth
	ca, other, now := newCA(t), newCA(t), time.Now()
	both := func() (Pair, error) { return ca.Server("127.0.0.1", "mirror.corp") }
	until := func(end time.Time) func() (Pair, error) {
		return func() (Pair, error) { return ca.ServerUntil(end, "mirror.corp") }
	}
	node := func() (Pair, error) { return ca.Client("node-1") }
	for name, c := range map[string]struct {
		issue func() (Pair, error)
		host  string
		use   x509.ExtKeyUsage
		by    *CA
		wrong any // a pointer to the type of the error, nil for none
	}{
		"by address":            {both, "127.0.0.1", server, ca, nil},
		"by name":               {both, "mirror.corp", server, ca, nil},
		"by another name":       {both, "else.corp", server, ca, new(x509.HostnameError)},
		"by another authority":  {both, "mirror.corp", server, other, new(x509.UnknownAuthorityError)},
		"a server as a client":  {both, "", client, ca, new(x509.CertificateInvalidError)},
		"not ended":             {until(now.Add(time.Hour)), "mirror.corp", server, ca, nil},
		"ended":                 {until(now.Add(-time.Hour)), "mirror.corp", server, ca, new(x509.CertificateInvalidError)},
		"a client":              {node, "", client, ca, nil},
		"a client of another":   {node, "", client, other, new(x509.UnknownAuthorityError)},
		"a client as a server":  {node, "", server, ca, new(x509.CertificateInvalidError)},
		"a client has no names": {node, "node-1", client, ca, new(x509.HostnameError)},
	} {
		t.Run(name, func(t *testing.T) {
			pair, err := c.issue()
			if err != nil {
				t.Fatal(err)
			}
			cert, err := pair.TLS() // the key fits
			if err != nil {
				t.Fatal(err)
			}
			_, err = cert.Leaf.Verify(x509.VerifyOptions{DNSName: c.host, Roots: c.by.Pool(), KeyUsages: []x509.ExtKeyUsage{c.use}})
			if c.wrong == nil && err != nil || c.wrong != nil && !errors.As(err, c.wrong) {
				t.Errorf("%v, want %T", err, c.wrong)
			}
		})
	}
}

func TestPEM(t *testing.T) {
	ca, pool := newCA(t), x509.NewCertPool()
	if !pool.AppendCertsFromPEM(ca.PEM()) || !pool.Equal(ca.Pool()) || pool.Equal(newCA(t).Pool()) {
		t.Errorf("the PEM is not the authority's:\n%s", ca.PEM())
	}
}

func TestWrite(t *testing.T) {
	dir := t.TempDir()
	pair, err := newCA(t).Client("node-1")
	if err != nil {
		t.Fatal(err)
	}
	cert, key, err := pair.Write(dir, "node")
	if err != nil || cert != filepath.Join(dir, "node.crt") || key != filepath.Join(dir, "node.key") {
		t.Fatalf("%s, %s, %v", cert, key, err)
	}
	if _, err := tls.LoadX509KeyPair(cert, key); err != nil {
		t.Error(err)
	}
	if info, err := os.Stat(key); err != nil || info.Mode() != 0o600 {
		t.Errorf("the key: %v, %v", info, err)
	}
	if _, _, err := pair.Write(filepath.Join(dir, "none"), "node"); err == nil {
		t.Error("it is written where no directory is")
	}
}
