package trace

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"
)

// transportText says why a request got no answer, without anything that the
// other side sent: a registry or a proxy may repeat a login.
func transportText(x exchange, ended error, patience time.Duration) (text string, waits bool) {
	var op *net.OpError
	var dns *net.DNSError
	var timeout net.Error
	isOp := errors.As(x.err, &op)
	switch {
	case errors.Is(x.err, errProxyAddress):
		return errProxyAddress.Error(), false
	case isOp && op.Op == "proxyconnect":
		return "the proxy cannot be reached: " + errnoText(op.Err), false
	case errors.Is(ended, context.DeadlineExceeded), errors.As(x.err, &timeout) && timeout.Timeout():
		if x.written {
			return fmt.Sprintf("it takes the request and does not answer within %s", patience), true
		}
		return fmt.Sprintf("no connection within %s", patience), true
	case errors.As(x.err, &dns):
		return "the name has no address", false
	}
	if text := tlsText(x.err); text != "" {
		return text, false
	}
	switch {
	case isOp && op.Op == "dial":
		return "no connection: " + errnoText(op.Err), false
	case !x.written && strings.Contains(x.err.Error(), "CONNECT"), !isOp && !x.written:
		return "no connection; the proxy may have refused it", false
	}
	return "the connection ended before the answer did", false
}

func tlsText(err error) string {
	var certificate *tls.CertificateVerificationError
	var unknown x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	var name x509.HostnameError
	var record tls.RecordHeaderError
	var op *net.OpError
	switch {
	case errors.As(err, &unknown):
		return "its certificate is signed by an authority that is not trusted here"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "its certificate has expired or is not valid yet"
	case errors.As(err, &name):
		return "its certificate is for another name"
	case errors.As(err, &certificate):
		return "its certificate is not valid"
	case errors.As(err, &record), errors.Is(err, http.ErrSchemeMismatch):
		return "it does not speak TLS"
	case errors.As(err, &op) && op.Op == "remote error":
		return "it ends the TLS handshake; it may want a client certificate"
	}
	return ""
}

func errnoText(err error) string {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno.Error()
	}
	return "the other side closed it"
}

// statusText says what an answer means.
func statusText(x exchange, hadLogin bool) string {
	switch x.status {
	case http.StatusUnauthorized:
		if hadLogin {
			return "it refuses the login (401)"
		}
		return "it wants a login (401), and there is none for it"
	case http.StatusForbidden:
		if hadLogin {
			return "it forbids this to the login, or the token has expired (403)"
		}
		return "it forbids this (403)"
	case http.StatusNotFound:
		return "it does not have it (404)"
	case http.StatusTooManyRequests:
		return "too many requests (429)"
	}
	if text := http.StatusText(x.status); text != "" {
		return fmt.Sprintf("it answers %d (%s)", x.status, strings.ToLower(text))
	}
	return fmt.Sprintf("it answers %d", x.status)
}
