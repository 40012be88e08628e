package neterr

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"unicode/utf8"
)

func TestLine(t *testing.T) {
	for in, want := range map[string]string{
		"":                             "",
		" two\r\n lines\t":             "two lines",
		"a\x00b\x1b[31mc\x7fd":         "a?b?[31mc?d",
		"bad \xff utf-8":               "bad ? utf-8",
		"lines\u2028by\u2029Unicode":   "lines by Unicode",
		strings.Repeat("x", 30):        strings.Repeat("x", 20) + "…",
		strings.Repeat("x", 19) + "äö": strings.Repeat("x", 19) + "…",
	} {
		got := Line(in, 20)
		if got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
		if !utf8.ValidString(got) {
			t.Errorf("%q: %q is no UTF-8", in, got)
		}
	}
}

func TestTLS(t *testing.T) {
	verification := func(err error) error { return &tls.CertificateVerificationError{Err: err} }
	cert := &x509.Certificate{DNSNames: []string{"other.example"}}
	for _, c := range []struct {
		err  error
		want string
	}{
		{verification(x509.UnknownAuthorityError{}), "its certificate is signed by an authority that is not trusted here"},
		{verification(x509.CertificateInvalidError{Cert: cert, Reason: x509.Expired}), "its certificate has expired or is not valid yet"},
		{verification(x509.HostnameError{Certificate: cert, Host: "a.example"}),
			"its certificate is for another name: certificate is valid for other.example, not a.example"},
		{verification(errors.New("x509: odd\nindeed")), "its certificate is not valid: odd indeed"},
		{tls.RecordHeaderError{Msg: "first record does not look like a TLS handshake"}, "it does not speak TLS"},
		{http.ErrSchemeMismatch, "it does not speak TLS"},
		{&net.OpError{Op: "remote error", Err: tls.AlertError(116)},
			"it ends the TLS handshake (tls: certificate required); it may want a client certificate"},
		{&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}, ""},
		{io.ErrUnexpectedEOF, ""},
	} {
		if got := TLS(fmt.Errorf("Get \"https://user:secret@a.example/\": %w", c.err)); got != c.want {
			t.Errorf("%T: %q, want %q", c.err, got, c.want)
		}
	}
}

func TestCause(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{&net.OpError{Op: "dial", Addr: &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1)}, Err: syscall.ECONNREFUSED}, "connection refused"},
		{&net.DNSError{Err: "no such host", Name: "a.example", Server: "10.0.0.2", IsNotFound: true}, "the name has no address (no such host)"},
		{&net.DNSError{Err: "i/o timeout", Name: "a.example", IsTimeout: true}, "the name server does not answer"},
		{&net.DNSError{Err: "server misbehaving", Name: "a.example", IsTemporary: true}, "the name server cannot answer (server misbehaving)"},
		{context.DeadlineExceeded, "no answer in time"},
		{&net.OpError{Op: "read", Err: timeout{}}, "no answer in time"},
		{io.EOF, "the other side closed the connection"},
	} {
		if got := Cause(fmt.Errorf("Get \"https://a.example/\": %w", c.err)); got != c.want {
			t.Errorf("%v: %q, want %q", c.err, got, c.want)
		}
	}
}

type timeout struct{}

func (timeout) Timeout() bool { return true }
func (timeout) Error() string { return "i/o timeout" }
