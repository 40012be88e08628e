package health

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/berth-registry/berth/test/pki"
)

func newAuthority(t testing.TB) *pki.CA {
	t.Helper()
	ca, err := pki.New("test")
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

// issued takes what a method of an authority gives.
func issued(t testing.TB) func(pki.Pair, error) pki.Pair {
	return func(pair pki.Pair, err error) pki.Pair {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return pair
	}
}

// serve starts an HTTPS server on loopback with such a certificate. With clients
// it wants a certificate of that authority.
func serve(t testing.TB, h http.Handler, pair pki.Pair, clients *pki.CA) *httptest.Server {
	t.Helper()
	certificate, err := pair.TLS()
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = discard
	s.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
	if clients != nil {
		s.TLS.ClientAuth, s.TLS.ClientCAs = tls.RequireAndVerifyClientCert, clients.Pool()
	}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}
