package config

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"strings"

	"github.com/berth-registry/berth/internal/redact"
)

func (c *checker) tls(s *location, t *TLS) {
	ca, cert, key := s.Field("caFile"), s.Field("certFile"), s.Field("keyFile")
	if t.CAFile != "" {
		t.CA = c.certificates(ca, &t.CAFile)
	}
	if t.CAFile != "" && t.InsecureSkipVerify {
		c.warn(s.Field("insecureSkipVerify"), "disables caFile: the registry's certificate is not verified")
	}
	switch {
	case t.CertFile != "" && t.KeyFile == "":
		c.refuse(cert, "is given without keyFile; add it")
		return
	case t.CertFile == "" && t.KeyFile != "":
		c.refuse(key, "is given without certFile; add it")
		return
	case t.CertFile == "":
		return
	}
	t.Cert = c.certificates(cert, &t.CertFile)
	data, ok := c.read(key, &t.KeyFile, maxPEMSize, true)
	if t.Cert == nil || !ok {
		return
	}
	if message := checkPair(t.Cert, data); message != "" {
		c.reject(key, t.KeyFile, "%s", message)
		return
	}
	t.Key = redact.New(string(data))
}

// certificates reads a PEM file and returns only its certificates. Comments are dropped, and so is
// a private key in the same file: the result is installed readable by everybody. nil means that an
// error was reported.
func (c *checker) certificates(s *location, path *string) []byte {
	data, ok := c.read(s, path, maxPEMSize, false)
	if !ok {
		return nil
	}
	var kept bytes.Buffer
	skipped := 0
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			skipped++
			continue
		}
		// A write to a buffer cannot fail.
		_ = pem.Encode(&kept, &pem.Block{Type: block.Type, Bytes: block.Bytes})
	}
	switch {
	case kept.Len() == 0 && skipped > 0:
		c.reject(s, *path, "holds no certificate that can be read; it may be damaged")
		return nil
	case kept.Len() == 0:
		c.reject(s, *path, `holds no PEM certificate; it must have a block that begins with "-----BEGIN CERTIFICATE-----"`)
		return nil
	case skipped > 0:
		c.warn(s, "%d of the certificates in %s cannot be read and are left out", skipped, *path)
	}
	return kept.Bytes()
}

// checkPair returns what is wrong with a certificate and its key, "" if nothing.
func checkPair(cert, key []byte) string {
	_, err := tls.X509KeyPair(cert, key)
	switch {
	case err == nil:
		return ""
	case bytes.Contains(key, []byte("ENCRYPTED")):
		return "is encrypted with a passphrase; store the key without one"
	case strings.Contains(err.Error(), "does not match"):
		return "does not belong to the certificate in certFile"
	case !bytes.Contains(key, []byte("PRIVATE KEY-----")):
		return "holds no PEM private key"
	}
	return "holds a private key that cannot be read; it may be damaged"
}
