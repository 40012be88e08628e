package trace

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/berth-registry/berth/test/pki"
)

// content is an image of one layer.
type content struct {
	index, manifest, config, layer []byte
}

func digestOf(b []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(b)) }

const (
	typeIndex    = "application/vnd.oci.image.index.v1+json"
	typeManifest = "application/vnd.oci.image.manifest.v1+json"
)

func newContent(t testing.TB, text string) content {
	t.Helper()
	c := content{config: []byte(`{"architecture":"x"}`), layer: []byte("layer of " + text)}
	type object = map[string]any
	describe := func(mediaType string, b []byte) object {
		return object{"mediaType": mediaType, "digest": digestOf(b), "size": len(b)}
	}
	encode := func(v any) []byte {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	c.manifest = encode(object{
		"schemaVersion": 2, "mediaType": typeManifest,
		"config": describe("application/vnd.oci.image.config.v1+json", c.config),
		"layers": []any{describe("application/vnd.oci.image.layer.v1.tar+gzip", c.layer)},
	})
	child := describe(typeManifest, c.manifest)
	child["platform"] = object{"os": runtime.GOOS, "architecture": runtime.GOARCH}
	other := describe(typeManifest, []byte("{}"))
	other["platform"] = object{"os": "plan9", "architecture": "mips"}
	c.index = encode(object{"schemaVersion": 2, "mediaType": typeIndex, "manifests": []any{other, child}})
	return c
}

// fake is a registry that records requests.
type fake struct {
	*httptest.Server
	mu    sync.Mutex
	asked []*http.Request
}

func (f *fake) addr() string { return f.Listener.Addr().String() }

// headers are the values of all headers that it received.
func (f *fake) headers() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all strings.Builder
	for _, r := range f.asked {
		fmt.Fprintln(&all, r.URL, r.Header)
	}
	return all.String()
}

func (f *fake) requests() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.asked)
}

// serve starts a registry on ip; with pair it speaks TLS.
func serve(t testing.TB, ip string, pair *pki.Pair, h http.Handler) *fake {
	t.Helper()
	f := &fake{}
	l, err := net.Listen("tcp", net.JoinHostPort(ip, "0"))
	if err != nil {
		t.Fatal(err)
	}
	f.Server = &httptest.Server{Listener: l, Config: &http.Server{
		ErrorLog: log.New(io.Discard, "", 0),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			f.mu.Lock()
			f.asked = append(f.asked, r.Clone(r.Context()))
			f.mu.Unlock()
			h.ServeHTTP(w, r)
		}),
	}}
	if pair == nil {
		f.Start()
	} else {
		certificate, err := pair.TLS()
		if err != nil {
			t.Fatal(err)
		}
		f.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
		f.StartTLS()
	}
	t.Cleanup(f.Close)
	return f
}

// has answers like a registry with the repository at path ("/v2/team/app").
func has(path string, c content) http.Handler {
	manifests := map[string][2]string{
		"v1": {typeIndex, string(c.index)}, digestOf(c.index): {typeIndex, string(c.index)}, digestOf(c.manifest): {typeManifest, string(c.manifest)},
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if name, ok := strings.CutPrefix(r.URL.Path, path+"/manifests/"); ok && manifests[name][0] != "" {
			body := manifests[name][1]
			w.Header().Set("Content-Type", manifests[name][0])
			w.Header().Set("Content-Length", fmt.Sprint(len(body)))
			w.Header().Set("Docker-Content-Digest", digestOf([]byte(body)))
			_, _ = io.WriteString(w, body)
			return
		}
		for _, blob := range [][]byte{c.config, c.layer} {
			if r.URL.Path == path+"/blobs/"+digestOf(blob) {
				_, _ = w.Write(blob)
				return
			}
		}
		http.NotFound(w, r)
	})
}

func status(code int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) })
}

func basic(username, password string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if u, p, ok := r.BasicAuth(); ok && u == username && p == password {
			next.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Www-Authenticate", `Basic realm="fake"`)
		w.WriteHeader(http.StatusUnauthorized)
	})
}

// bearer requires a token. /token of the same host, or realm, returns one for the login.
func bearer(realm, username, password string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch u, p, _ := r.BasicAuth(); {
		case r.URL.Path == "/token" && r.Method == http.MethodPost:
			w.WriteHeader(http.StatusNotFound) // containerd then tries GET
		case r.URL.Path == "/token" && u == username && p == password:
			_, _ = io.WriteString(w, `{"token":"good"}`)
		case r.URL.Path == "/token":
			_, _ = io.WriteString(w, `{"token":"anonymous"}`)
		case r.Header.Get("Authorization") == "Bearer good":
			next.ServeHTTP(w, r)
		default:
			at := realm
			if at == "" {
				at = "http://" + r.Host
			}
			w.Header().Set("Www-Authenticate", fmt.Sprintf(`Bearer realm="%s/token",service="fake"`, at))
			w.WriteHeader(http.StatusUnauthorized)
		}
	})
}

// fixture is a node with a registry and a mirror.
type fixture struct {
	*testing.T
	Tracer
	dir        string // certs.d
	image      content
	up, mirror *fake
	name       string // of the image, with its tag
	absent     string // must not be in the report
}

const secret = "correct-horse"

func newFixture(t *testing.T) *fixture {
	t.Helper()
	w := &fixture{T: t, dir: t.TempDir(), image: newContent(t, t.Name())}
	w.Node.CertsDirs = []string{w.dir}
	w.up = serve(t, "127.0.0.1", nil, has("/v2/team/app", w.image))
	w.mirror = serve(t, "127.0.0.1", nil, has("/v2/team/app", w.image))
	w.name = w.up.addr() + "/team/app:v1"
	return w
}

// own is the directory of the registry.
func (w *fixture) own() string { return strings.Replace(w.up.addr(), ":", "_", 1) + "_" }

func (w *fixture) hosts(dir, format string, args ...any) {
	w.Helper()
	path := filepath.Join(w.dir, dir, "hosts.toml")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		w.Fatal(err)
	}
	if format == "" {
		return
	}
	if err := os.WriteFile(path, fmt.Appendf(nil, format, args...), 0o600); err != nil {
		w.Fatal(err)
	}
}

// mirrors writes a hosts.toml with these URLs.
func (w *fixture) mirrors(urls ...string) {
	w.Helper()
	text := ""
	for _, u := range urls {
		text += fmt.Sprintf("[host.%q]\ncapabilities = [\"pull\", \"resolve\"]\n", u)
	}
	w.hosts(w.own(), "%s", text)
}

// refused is an address on which nothing listens.
func refused(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func pool(t testing.TB, pem []byte) *x509.CertPool {
	t.Helper()
	p := x509.NewCertPool()
	if !p.AppendCertsFromPEM(pem) {
		t.Fatal("no certificate")
	}
	return p
}
