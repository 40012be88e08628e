package upstream

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/berth-registry/berth/test/sample"
	ggcr "github.com/google/go-containerregistry/pkg/registry"
)

// Status answers every request with code and an error in the form of a registry.
func Status(code int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		fmt.Fprintf(w, `{"errors":[{"code":"DECOY","message":"answers %d to everything"}]}`, code)
	})
}

// Content answers as a registry that holds the images pushed to it.
type Content struct {
	registry http.Handler
}

// NewContent returns an empty registry.
func NewContent() *Content {
	return &Content{registry: ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0)))}
}

// ServeHTTP answers from the pushed images.
func (c *Content) ServeHTTP(w http.ResponseWriter, r *http.Request) { c.registry.ServeHTTP(w, r) }

// Push stores img at reference (repository:tag). The decoy does not record it, because it is not a
// pull.
func (c *Content) Push(ctx context.Context, reference string, img sample.Image) error {
	return sample.Target{Host: "content.invalid", Transport: direct{c.registry}}.Push(ctx, reference, img)
}

// direct is a transport that calls a handler instead of opening a connection.
type direct struct{ handler http.Handler }

func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body == nil {
		r.Body = http.NoBody
	}
	w := httptest.NewRecorder()
	d.handler.ServeHTTP(w, r)
	response := w.Result()
	response.Request = r
	return response, nil
}

// Basic lets requests with the login through to next and challenges others.
func Basic(username, password string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u, p, ok := r.BasicAuth()
		if ok && u == username && subtle.ConstantTimeCompare([]byte(p), []byte(password)) == 1 {
			next.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Www-Authenticate", `Basic realm="decoy"`)
		Status(http.StatusUnauthorized).ServeHTTP(w, r)
	})
}

// Bearer lets requests with the token through to next and sends others to the token server at the
// URL realm.
func Bearer(realm, token string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "Bearer "+token {
			next.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Www-Authenticate", fmt.Sprintf(`Bearer realm=%q,service="decoy"`, realm))
		Status(http.StatusUnauthorized).ServeHTTP(w, r)
	})
}

// Token answers every request as a token server that issues token.
func Token(token string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]string{"token": token})
	})
}

// RedirectBlobs answers as next, but sends every blob to the same path below
// base (scheme://host:port), as registries with an object store do.
func RedirectBlobs(base string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "/blobs/") {
			http.Redirect(w, r, base+r.URL.Path, http.StatusTemporaryRedirect)
			return
		}
		next.ServeHTTP(w, r)
	})
}
