// Package livemirror is the mirror of a fixture that answers, when the fixture is made and when it
// is used. Its address is in files whose hashes are recorded, so it never changes: an address on
// this machine that no other program uses.
package livemirror

import (
	"net"
	"net/http"
	"net/http/httptest"
)

// Address is the address on which it listens, in 127.0.0.0/8.
const Address = "127.94.56.20:5917"

// The login that it accepts, with Basic.
const (
	Username = "robot"
	Password = "dummy-password"
)

// Start serves it until Close.
func Start() (*httptest.Server, error) {
	l, err := net.Listen("tcp", Address)
	if err != nil {
		return nil, err
	}
	server := &httptest.Server{Listener: l, Config: &http.Server{Handler: http.HandlerFunc(answer)}}
	server.Start()
	return server, nil
}

func answer(w http.ResponseWriter, r *http.Request) {
	username, password, ok := r.BasicAuth()
	switch {
	case !ok || username != Username || password != Password:
		w.Header().Set("WWW-Authenticate", `Basic realm="mirror"`)
		w.WriteHeader(http.StatusUnauthorized)
	case r.URL.Path != "/v2/":
		w.WriteHeader(http.StatusNotFound)
	}
}
