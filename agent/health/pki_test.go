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

// issued returns a pair, or ends the test on an error.
func issued(t testing.TB) func(pki.Pair, error) pki.Pair {
	return func(pair pki.Pair, err error) pki.Pair {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return pair
	}
}

// serve starts an HTTPS server on loopback with this certificate. If clients is set, the server
// requires a client certificate of that authority.
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
