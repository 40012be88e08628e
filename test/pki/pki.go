// Package pki makes certificate authorities, server certificates and client certificates for tests.
// Everything is new in each run, valid for hours, and in memory until [Pair.Write].
//
// Start with [New].
package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// CA is a private certificate authority.
type CA struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// Pair is a certificate with its key, both PEM.
type Pair struct {
	CertPEM, KeyPEM []byte
}

// valid is how long a certificate lives from now on; whole is its whole life.
const valid, whole = 12 * time.Hour, 24 * time.Hour

// New returns a certificate authority with a name.
func New(name string) (*CA, error) {
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: name},
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	der, err := sign(template, template, time.Now().Add(valid), key, key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &CA{cert: cert, key: key}, nil
}

// PEM returns the certificate of the authority.
func (ca *CA) PEM() []byte { return certificatePEM(ca.cert.Raw) }

// Pool returns a pool with this authority alone.
func (ca *CA) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(ca.cert)
	return pool
}

// Server issues a certificate for a server at hosts, DNS names and addresses.
func (ca *CA) Server(hosts ...string) (Pair, error) {
	return ca.ServerUntil(time.Now().Add(valid), hosts...)
}

// ServerUntil issues a certificate like [CA.Server] that ends at end, which may be in the past.
func (ca *CA) ServerUntil(end time.Time, hosts ...string) (Pair, error) {
	template := leaf("server of a test", x509.ExtKeyUsageServerAuth)
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	return ca.issue(template, end)
}

// Client issues a client certificate for name.
func (ca *CA) Client(name string) (Pair, error) {
	return ca.issue(leaf(name, x509.ExtKeyUsageClientAuth), time.Now().Add(valid))
}

// TLS returns the pair in the form of crypto/tls.
func (p Pair) TLS() (tls.Certificate, error) {
	return tls.X509KeyPair(p.CertPEM, p.KeyPEM)
}

// Write writes the pair into dir as <name>.crt and <name>.key, the key with mode 0600, and returns
// their paths.
func (p Pair) Write(dir, name string) (cert, key string, err error) {
	cert, key = filepath.Join(dir, name+".crt"), filepath.Join(dir, name+".key")
	if err := os.WriteFile(cert, p.CertPEM, 0o644); err != nil {
		return "", "", err
	}
	return cert, key, os.WriteFile(key, p.KeyPEM, 0o600)
}

func leaf(name string, use x509.ExtKeyUsage) *x509.Certificate {
	return &x509.Certificate{
		Subject:     pkix.Name{CommonName: name},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{use},
	}
}

func (ca *CA) issue(template *x509.Certificate, end time.Time) (Pair, error) {
	key, err := newKey()
	if err != nil {
		return Pair{}, err
	}
	der, err := sign(template, ca.cert, end, key, ca.key)
	if err != nil {
		return Pair{}, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return Pair{}, err
	}
	return Pair{
		CertPEM: certificatePEM(der),
		KeyPEM:  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}),
	}, nil
}

// sign returns the certificate of key, signed by by in the name of parent.
func sign(template, parent *x509.Certificate, end time.Time, key, by *ecdsa.PrivateKey) ([]byte, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 100))
	if err != nil {
		return nil, err
	}
	template.SerialNumber = serial
	template.NotBefore, template.NotAfter = end.Add(-whole), end
	return x509.CreateCertificate(rand.Reader, template, parent, key.Public(), by)
}

func newKey() (*ecdsa.PrivateKey, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }

func certificatePEM(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}
