package serve

import (
	"crypto/tls"
	"os"
	"sync"
)

// Certificate is a TLS certificate in two PEM files. It is read again when the first one changes.
type Certificate struct {
	certFile, keyFile string

	mu    sync.Mutex
	stamp stamp
	pair  *tls.Certificate
}

// ReadCertificate reads a certificate and its key.
func ReadCertificate(certFile, keyFile string) (*Certificate, error) {
	c := &Certificate{certFile: certFile, keyFile: keyFile}
	_, err := c.Get(nil)
	return c, err
}

// Get is a function for [tls.Config].GetCertificate. If a changed pair cannot be read, perhaps
// because only one file has been replaced yet, the last one stays and is tried again.
func (c *Certificate) Get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	info, err := os.Stat(c.certFile)
	if err == nil && (c.pair == nil || c.stamp != stampOf(info)) {
		var pair tls.Certificate
		if pair, err = tls.LoadX509KeyPair(c.certFile, c.keyFile); err == nil {
			c.pair, c.stamp = &pair, stampOf(info)
		}
	}
	if c.pair != nil {
		return c.pair, nil
	}
	return nil, err
}
