package trace

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/berth-registry/berth/test/pki"
)

// first puts a mirror with this handler before the good one.
func (w *fixture) first(h http.Handler) {
	w.mirrors(serve(w, "127.0.0.1", nil, h).URL, w.mirror.URL)
}

func (w *fixture) protected(h http.Handler) { w.mirror = serve(w, "127.0.0.1", nil, h) }

// secure gives the mirror a certificate, and returns that of its authority. containerd verifies it
// although the address is loopback: it skips that only for the registry itself, if hosts.toml names
// no server.
func (w *fixture) secure(until time.Time) []byte {
	return w.secureWith(until, has("/v2/team/app", w.image))
}

func (w *fixture) secureWith(until time.Time, answer http.Handler) []byte {
	ca, err := pki.New("test")
	if err != nil {
		w.Fatal(err)
	}
	pair, err := ca.ServerUntil(until, "127.0.0.1")
	if err != nil {
		w.Fatal(err)
	}
	w.mirror = serve(w, "127.0.0.1", &pair, answer)
	return ca.PEM()
}

func (w *fixture) ca(name string, pem []byte) {
	w.hosts(w.own(), "")
	if err := os.WriteFile(filepath.Join(w.dir, w.own(), name), pem, 0o600); err != nil {
		w.Fatal(err)
	}
}

func hang(t testing.TB) http.Handler {
	done := make(chan struct{})
	t.Cleanup(func() { close(done) })
	return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-done:
		case <-r.Context().Done():
		}
	})
}

func blobsAt(base string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "/blobs/") {
			http.Redirect(w, r, base+r.URL.Path+"?signature="+secret, http.StatusTemporaryRedirect)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func without(part string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, part) {
			http.NotFound(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// instead answers requests for one part of the API.
func instead(part string, answer, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, part) {
			answer.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func text(body string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, body) })
}

// wrongManifest answers GET of a manifest with other content.
func wrongManifest(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "/manifests/") && r.Method == http.MethodGet {
			fmt.Fprint(w, "{}")
			return
		}
		next.ServeHTTP(w, r)
	})
}
