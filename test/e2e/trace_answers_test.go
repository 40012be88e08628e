package e2e

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/berth-registry/berth/test/fakes/upstream"
)

// answerRows: mirrors that answer incorrectly. After some of these answers containerd asks the next
// host; after others the pull fails. containerd starts at the first host for each object: a host
// that does not resolve the tag may still serve layers.
//
// A layer that ends after its first byte is missing here, because trace reads no more than that.
func answerRows() []traceRow {
	row := func(name, want, older string, answer func(s *traced) http.Handler) traceRow {
		return traceRow{name, func(s *traced) { s.use(answer(s)); s.hosts("docker.io", hostTables(s.url())) }, want, older}
	}
	// once gives one kind of request another answer.
	once := func(part, method string, answer http.Handler) func(*traced) http.Handler {
		return func(s *traced) http.Handler { return at(part, method, answer, s.content) }
	}
	// of changes the answers to one kind of request.
	of := func(part string, change func(http.Handler) http.Handler) func(*traced) http.Handler {
		return func(s *traced) http.Handler { return at(part, http.MethodGet, change(s.content), s.content) }
	}
	const manifest, layer = "/manifests/sha256:", "/blobs/"
	return []traceRow{
		row("head-closed", "mirror", "-", once("/manifests/v1", http.MethodHead, hangUp)),
		row("head-405", "mirror", "-", once("/manifests/v1", http.MethodHead, upstream.Status(405))),
		row("head-429", "mirror", "-", once("/manifests/v1", http.MethodHead, upstream.Status(429))),
		row("head-without-digest", "mirror", "-", func(s *traced) http.Handler {
			return changed(s.content, func(r *httptest.ResponseRecorder) { r.Header().Del("Docker-Content-Digest") })
		}),
		row("head-redirected", "mirror", "-", func(s *traced) http.Handler {
			store := s.fixture.mirror(s.content) // its layers count as the mirror's
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, "http://"+store.Addr()+r.URL.String(), http.StatusTemporaryRedirect)
			})
		}),
		row("web-page-for-everything", "", "-", func(*traced) http.Handler { return webPage }),
		row("manifest-404", "mirror", "-", once(manifest, http.MethodGet, upstream.Status(404))),
		row("manifest-closed", "mirror", "-", once(manifest, http.MethodGet, hangUp)),
		row("manifest-empty", "", "-", once(manifest, http.MethodGet, empty)),
		row("manifest-cut", "", "-", of(manifest, cut(1, 2))),
		row("layer-404", "hub", "-", once(layer, http.MethodGet, upstream.Status(404))),
		row("layer-closed", "hub", "-", once(layer, http.MethodGet, hangUp)),
		row("layer-empty", "", "-", once(layer, http.MethodGet, empty)),
		row("layer-no-content", "", "-", once(layer, http.MethodGet, upstream.Status(204))),
		row("layer-cut-at-once", "", "-", of(layer, cut(0, 2))),
		row("layer-short", "", "-", of(layer, resized(func(b []byte) []byte { return b[:len(b)/2] }))),
		row("layer-long", "", "-", of(layer, resized(func(b []byte) []byte { return append(b, 'x') }))),
		row("layer-without-length", "mirror", "-", of(layer, chunked)),
		row("everything-closed", "hub", "-", func(*traced) http.Handler { return hangUp }),
	}
}

// at answers one kind of request with answer and all others with next.
func at(part, method string, answer, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == method && strings.Contains(r.URL.Path, part) {
			answer.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// hangUp closes the connection without an answer.
var hangUp = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })

// empty is an answer without a body.
var empty = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Length", "0")
	w.WriteHeader(http.StatusOK)
})

// webPage is the answer of a network that requires a login in the browser.
var webPage = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html")
	_, _ = io.WriteString(w, "<html>log in first</html>")
})

// changed returns next with its answers changed by change.
func changed(next http.Handler, change func(*httptest.ResponseRecorder)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rec := httptest.NewRecorder()
		next.ServeHTTP(rec, r)
		change(rec)
		maps.Copy(w.Header(), rec.Header())
		w.WriteHeader(rec.Code)
		_, _ = w.Write(rec.Body.Bytes())
	})
}

// whole removes Range from requests, like a server that does not support it.
func whole(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Del("Range")
		next.ServeHTTP(w, r)
	})
}

// resized changes the bodies of an answer.
func resized(size func([]byte) []byte) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return whole(changed(next, func(r *httptest.ResponseRecorder) {
			body := size(r.Body.Bytes())
			r.Body = bytes.NewBuffer(body)
			r.Header().Set("Content-Length", fmt.Sprint(len(body)))
		}))
	}
}

// cut closes the connection after part/of of each body.
func cut(part, of int) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler { return cutAt(part, of, next) }
}

func cutAt(part, of int, next http.Handler) http.Handler {
	return whole(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rec := httptest.NewRecorder()
		next.ServeHTTP(rec, r)
		maps.Copy(w.Header(), rec.Header())
		w.Header().Set("Content-Length", fmt.Sprint(rec.Body.Len()))
		w.WriteHeader(rec.Code)
		_, _ = w.Write(rec.Body.Bytes()[:rec.Body.Len()*part/of])
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}))
}

// chunked leaves out Content-Length.
func chunked(next http.Handler) http.Handler {
	return whole(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rec := httptest.NewRecorder()
		next.ServeHTTP(rec, r)
		maps.Copy(w.Header(), rec.Header())
		w.Header().Del("Content-Length")
		w.WriteHeader(rec.Code)
		_ = http.NewResponseController(w).Flush()
		_, _ = w.Write(rec.Body.Bytes())
	}))
}
