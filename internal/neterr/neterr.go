// Package neterr puts failures of the network into words that fit one line of
// a log, a page or a terminal. [TLS] and [Cause] take nothing from what a
// registry or a proxy has answered, which might repeat a login: only the names
// in a certificate, an alert of TLS and the words of a resolver. [Line] is for
// foreign text that somebody wants to show all the same; leaving secrets out of
// it is the caller's business.
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

// Line makes one printable line of a foreign text, of at most longest bytes
// and a mark where it was cut.
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

// maxName is how much of a text with a certificate's names is shown, in bytes.
const maxName = 200

// TLS gives the reason why there is no TLS connection, as a sentence about the
// other side, "" for an error of any other kind.
func TLS(err error) string {
	var certificate *tls.CertificateVerificationError
	var unknown x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	var name x509.HostnameError
	var record tls.RecordHeaderError
	var op *net.OpError
	switch {
	case errors.As(err, &unknown):
		// Its own text quotes a certificate at length.
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

// Name says why a name was not looked up: it has no address, or the name server is
// to blame.
func Name(err *net.DNSError) string {
	switch {
	case err.IsNotFound:
		return "the name has no address (" + Line(err.Err, maxName) + ")"
	case err.IsTimeout:
		return "the name server does not answer"
	}
	return "the name server cannot answer (" + Line(err.Err, maxName) + ")"
}

// Cause gives the reason of a network error without its addresses.
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
	return "the other side closed it"
}
