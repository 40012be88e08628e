// Package neterr describes network errors in one line for a log, a page or a terminal.
//
// Promises: [TLS] and [Cause] repeat no text from the answer of a registry or proxy, which may
// contain a login. They use only names in a certificate, TLS alerts and resolver errors. [Line] is
// for foreign text; its caller must remove secrets first.
//
// Start reading at [Cause].
package neterr

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"strings"
	"syscall"
)

// Line returns foreign text as one printable line of at most longest bytes, with "…" where it was
// cut.
func Line(text string, longest int) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '\uFFFD' {
			return '?'
		}
		return r
	}, strings.Join(strings.Fields(text), " "))
	if len(text) > longest {
		text = strings.ToValidUTF8(text[:longest], "") + "…"
	}
	return text
}

// maxName is the longest shown text with a certificate's names, in bytes.
const maxName = 200

// TLS returns the reason why a TLS connection failed, as a sentence about the other side, or "" if
// err is no TLS error.
func TLS(err error) string {
	var certificate *tls.CertificateVerificationError
	var unknown x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	var name x509.HostnameError
	var record tls.RecordHeaderError
	var op *net.OpError
	switch {
	case errors.As(err, &unknown):
		// Its own text quotes the certificate at length.
		return "its certificate is signed by an authority that is not trusted here"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "its certificate has expired or is not valid yet"
	case errors.As(err, &name):
		return "its certificate is for another name: " + Line(strings.TrimPrefix(name.Error(), "x509: "), maxName)
	case errors.As(err, &certificate):
		return "its certificate is not valid: " + Line(strings.TrimPrefix(certificate.Err.Error(), "x509: "), maxName)
	case errors.As(err, &record), errors.Is(err, http.ErrSchemeMismatch):
		return "it does not speak TLS"
	case errors.As(err, &op) && op.Op == "remote error":
		return "it ends the TLS handshake (" + Line(op.Err.Error(), maxName) + "); it may want a client certificate"
	}
	return ""
}

// Name returns the reason why a DNS lookup failed: the name has no address, or the name server
// failed.
func Name(err *net.DNSError) string {
	switch {
	case err.IsNotFound:
		return "the name has no address (" + Line(err.Err, maxName) + ")"
	case err.IsTimeout:
		return "the name server does not answer"
	}
	return "the name server cannot answer (" + Line(err.Err, maxName) + ")"
}

// Cause returns the reason of a network error, without addresses.
func Cause(err error) string {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno.Error()
	}
	var dns *net.DNSError
	if errors.As(err, &dns) {
		return Name(dns)
	}
	var late net.Error
	if errors.Is(err, context.DeadlineExceeded) || errors.As(err, &late) && late.Timeout() {
		return "no answer in time"
	}
	return "the other side closed the connection"
}
