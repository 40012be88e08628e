package trace

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/berth-registry/berth/internal/containerdconf"
)

// row is a node and its expected report. host is "up", "mirror", or "" if no host serves; says is
// part of the verdict or of a note.
type row struct {
	name string
	set  func(*fixture)
	host string
	says string
}

func rows() []row {
	up, mirror := "up", "mirror"
	auth := func(password string) string {
		return "Basic " + base64.StdEncoding.EncodeToString([]byte("robot:"+password))
	}
	withHeader := func(w *fixture, password string) {
		w.hosts(w.own(), "[host.%q]\ncapabilities = [\"pull\", \"resolve\"]\n[host.%q.header]\nAuthorization = %q\n", w.mirror.URL, w.mirror.URL, auth(password))
	}
	return []row{
		{"plain upstream", func(*fixture) {}, up, "will serve it"},
		{"one mirror", func(w *fixture) { w.mirrors(w.mirror.URL) }, mirror, "will serve it"},
		{"second after 404", func(w *fixture) { w.first(status(404)) }, mirror, "does not have it (404)"},
		{"second after 401", func(w *fixture) { w.first(status(401)) }, mirror, "requires a login (401)"},
		{"second after 500", func(w *fixture) { w.first(status(500)) }, mirror, "500 (internal server error)"},
		{"second after refused", func(w *fixture) { w.mirrors("http://"+refused(w), w.mirror.URL) }, mirror, "connection refused"},
		{"second after silence", func(w *fixture) { w.Timeout = 2 * time.Second; w.first(hang(w)) }, mirror, "waits for"},
		{"silence stops an older containerd", func(w *fixture) {
			w.Node.Release = containerdconf.Release{Major: 1, Minor: 6, Patch: 20}
			w.Timeout = 2 * time.Second
			w.first(hang(w))
		}, "", "without limit"},
		{"mirror only, hit", func(w *fixture) { w.hosts(w.own(), "server = %q\n[host]\n", w.mirror.URL) }, mirror, ""},
		{"mirror only, miss", func(w *fixture) {
			w.hosts(w.own(), "server = %q\n[host]\n", serve(w, "127.0.0.1", nil, status(404)).URL)
		}, "", "no host will serve it"},
		{"default", func(w *fixture) { w.hosts("_default", "[host.%q]\n", w.mirror.URL) }, mirror, ""},
		{"default and an empty directory", func(w *fixture) {
			w.hosts("_default", "[host.%q]\n", w.mirror.URL)
			w.hosts(w.own(), "")
		}, up, "keeps _default from being used"},
		{"default and another file", func(w *fixture) {
			w.hosts("_default", "[host.%q]\n", serve(w, "127.0.0.1", nil, status(500)).URL)
			w.mirrors(w.mirror.URL)
		}, mirror, "keeps _default from being used"},
		{"default and pass-through", func(w *fixture) {
			w.hosts("_default", "[host.%q]\n", w.mirror.URL)
			w.hosts(w.own(), "server = %q\n[host]\n", w.up.URL)
		}, up, "keeps _default"},
		{"default is unknown to 1.6.16", func(w *fixture) {
			w.Node.Release = containerdconf.Release{Major: 1, Minor: 6, Patch: 16}
			w.hosts("_default", "[host.%q]\n", w.mirror.URL)
		}, up, ""},
		{"other spelling of the port", func(w *fixture) { w.hosts(w.up.addr(), "[host.%q]\n", w.mirror.URL) }, mirror, ""},
		{"both spellings", func(w *fixture) {
			w.hosts(w.up.addr(), "[host.%q]\n", w.mirror.URL)
			w.hosts(w.own(), "server = %q\n[host]\n", w.up.URL)
		}, up, "keeps"},
		{"prefix", func(w *fixture) {
			w.mirror = serve(w, "127.0.0.1", nil, has("/v2/hub/team/app", w.image))
			w.hosts(w.own(), "[host.\"%s/v2/hub\"]\noverride_path = true\n", w.mirror.URL)
		}, mirror, ""},
		{"API root", func(w *fixture) {
			w.mirror = serve(w, "127.0.0.1", nil, has("/api/hub/v2/team/app", w.image))
			w.mirrors(w.mirror.URL + "/api/hub/v2")
		}, mirror, ""},
		{"literal path", func(w *fixture) {
			w.mirror = serve(w, "127.0.0.1", nil, has("/odd/team/app", w.image))
			w.hosts(w.own(), "[host.\"%s/odd\"]\noverride_path = true\n", w.mirror.URL)
		}, mirror, ""},
		{"header", func(w *fixture) {
			w.protected(basic("robot", secret, has("/v2/team/app", w.image)))
			withHeader(w, secret)
		}, mirror, ""},
		{"wrong header", func(w *fixture) {
			w.protected(basic("robot", secret, has("/v2/team/app", w.image)))
			withHeader(w, "wrong")
		}, up, "refuses the login (401)"},
		{"expired header", func(w *fixture) { w.protected(status(403)); withHeader(w, secret) }, up, "has expired (403)"},
		{"bearer with login", func(w *fixture) {
			w.protected(bearer("", "robot", secret, has("/v2/team/app", w.image)))
			withHeader(w, secret)
		}, mirror, ""},
		{"bearer with login, 2.0", func(w *fixture) {
			w.Node.Release = containerdconf.Release{Major: 2}
			w.protected(bearer("", "robot", secret, has("/v2/team/app", w.image)))
			withHeader(w, secret)
		}, up, "401"},
		{"bearer without login", func(w *fixture) {
			w.protected(bearer("", "robot", secret, has("/v2/team/app", w.image)))
			w.mirrors(w.mirror.URL)
		}, up, "a pull secret for this image would be sent there"},
		{"basic without login", func(w *fixture) {
			w.protected(basic("robot", secret, has("/v2/team/app", w.image)))
			w.mirrors(w.mirror.URL)
		}, up, "asks for a login: a pull secret for this image would be sent to it, too"},
		{"a pull secret beside a wrong header", func(w *fixture) {
			w.protected(basic("robot", secret, has("/v2/team/app", w.image)))
			withHeader(w, "wrong")
		}, up, "does not take the login in its header"},
		{"a pull secret beside a header for a token", func(w *fixture) {
			w.protected(bearer("", "robot", secret, has("/v2/team/app", w.image)))
			withHeader(w, secret)
		}, mirror, "in place of the login in the header"},
		{"bearer of somebody else", func(w *fixture) {
			w.protected(bearer("https://evil.example", "robot", secret, has("/v2/team/app", w.image)))
			withHeader(w, secret)
		}, "", "it names the token server https://evil.example, which is not of its domain"},
		{"bearer of somebody else, and what comes without it", func(w *fixture) {
			w.protected(bearer("https://evil.example", "robot", secret, has("/v2/team/app", w.image)))
			withHeader(w, secret)
		}, "", "it is unknown whether "},
		{"bearer of an address that ends as its own", func(w *fixture) {
			w.protected(bearer("https://10.1.0.1", "robot", secret, has("/v2/team/app", w.image)))
			withHeader(w, secret)
		}, "", "not of its domain"},
		{"bearer of somebody else, behind one that serves", func(w *fixture) {
			good := w.mirror
			w.protected(bearer("https://evil.example", "robot", secret, has("/v2/team/app", w.image)))
			w.hosts(w.own(), "[host.%q]\n[host.%q]\n[host.%q.header]\nAuthorization = %q\n", good.URL, w.mirror.URL, w.mirror.URL, auth(secret))
			w.mirror = good
		}, mirror, "will serve it"},
		{"bearer of somebody else, 2.0", func(w *fixture) {
			w.Node.Release = containerdconf.Release{Major: 2}
			tokens := serve(w, "127.0.0.2", nil, bearer("", "robot", secret, status(404)))
			w.protected(bearer(tokens.URL, "robot", secret, has("/v2/team/app", w.image)))
			withHeader(w, secret)
			w.Cleanup(func() {
				if h := tokens.headers(); strings.Contains(h, "Authorization") || tokens.requests() == 0 {
					w.Errorf("the token server was asked:\n%s", h)
				}
			})
		}, up, "401"},
		{"bearer over plain http", func(w *fixture) {
			w.ca("ca.pem", w.secureWith(time.Now().Add(time.Hour), bearer("http://127.0.0.1:1", "robot", secret, has("/v2/team/app", w.image))))
			w.hosts(w.own(), "[host.%q]\nca = \"ca.pem\"\n[host.%q.header]\nAuthorization = %q\n", w.mirror.URL, w.mirror.URL, auth(secret))
		}, "", "which is asked over plain http"},
		{"unknown CA", func(w *fixture) { w.secure(time.Now().Add(time.Hour)); w.mirrors(w.mirror.URL) }, up, "authority that is not trusted"},
		{"right CA", func(w *fixture) {
			w.ca("ca.pem", w.secure(time.Now().Add(time.Hour)))
			w.hosts(w.own(), "[host.%q]\nca = \"ca.pem\"\n", w.mirror.URL)
		}, mirror, ""},
		{"expired certificate", func(w *fixture) {
			w.Roots = pool(w, w.secure(time.Now().Add(-time.Minute)))
			w.mirrors(w.mirror.URL)
		}, up, "has expired"},
		{"broken file", func(w *fixture) { w.hosts(w.own(), "[host.%q\n", w.mirror.URL) }, up, "containerd ignores the file"},
		{"duplicate table", func(w *fixture) { w.mirrors(w.mirror.URL, w.mirror.URL) }, up, "containerd ignores the file"},
		{"host listed twice", func(w *fixture) {
			w.hosts(w.own(), "[host.%q]\n[host.\"http://%s\"]\n[host.%q.header]\nX-A = \"b\"\n", w.mirror.URL, refused(w), w.mirror.URL)
		}, mirror, "is listed twice"},
		{"missing CA file", func(w *fixture) { w.hosts(w.own(), "[host.%q]\nca = \"gone.pem\"\n", w.mirror.URL) }, "", "fails every pull"},
		{"pull only, tag", func(w *fixture) { w.hosts(w.own(), "[host.%q]\ncapabilities = [\"pull\"]\n", w.mirror.URL) }, mirror, "has resolved it"},
		{"pull only, digest", func(w *fixture) {
			w.hosts(w.own(), "[host.%q]\ncapabilities = [\"pull\"]\n", w.mirror.URL)
			w.name = w.up.addr() + "/team/app@" + digestOf(w.image.index)
			w.up.Config.Handler = status(500)
		}, mirror, ""},
		{"http with TLS keys", func(w *fixture) { w.hosts(w.own(), "[host.%q]\nskip_verify = true\n", w.mirror.URL) }, mirror, "https is tried first"},
		{"redirect of blobs", func(w *fixture) {
			store := serve(w, "127.0.0.2", nil, has("/v2/team/app", w.image))
			w.protected(blobsAt(store.URL, basic("robot", secret, has("/v2/team/app", w.image))))
			withHeader(w, secret)
			w.Cleanup(func() {
				if h := store.headers(); strings.Contains(h, "Authorization") || store.requests() == 0 {
					w.Errorf("the store was asked:\n%s", h)
				}
			})
		}, mirror, ""},
		{"redirect to another port", func(w *fixture) {
			store := serve(w, "127.0.0.1", nil, has("/v2/team/app", w.image))
			w.protected(blobsAt(store.URL, basic("robot", secret, has("/v2/team/app", w.image))))
			withHeader(w, secret)
			w.Cleanup(func() {
				if h := store.headers(); strings.Contains(h, "Authorization") || store.requests() == 0 {
					w.Errorf("the store was asked:\n%s", h)
				}
			})
		}, mirror, "containerd sends the login of the header along"},
		{"blobs are missing", func(w *fixture) {
			w.protected(without("/blobs/", has("/v2/team/app", w.image)))
			w.mirrors(w.mirror.URL)
		}, up, "has resolved it"},
		{"an empty layer", func(w *fixture) {
			w.protected(instead("/blobs/", status(200), has("/v2/team/app", w.image)))
			w.mirrors(w.mirror.URL)
		}, "", "its layer is empty; the pull ends here"},
		{"a layer of another length", func(w *fixture) {
			w.protected(instead("/blobs/", text("half"), has("/v2/team/app", w.image)))
			w.mirrors(w.mirror.URL)
		}, "", fmt.Sprintf("has 4 bytes, not %d", len("layer of TestImage/a_layer_of_another_length"))},
		{"a layer that does not say its length", func(w *fixture) {
			w.protected(instead("/blobs/", http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
				rw.(http.Flusher).Flush()
				_, _ = rw.Write(w.image.layer)
			}), has("/v2/team/app", w.image)))
			w.mirrors(w.mirror.URL)
		}, mirror, "will serve it"},
		{"a part of a layer of another length", func(w *fixture) {
			w.protected(instead("/blobs/", http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				http.ServeContent(rw, r, "", time.Time{}, strings.NewReader("half"))
			}), has("/v2/team/app", w.image)))
			w.mirrors(w.mirror.URL)
		}, "", "has 4 bytes, not"},
		{"it hangs up", func(w *fixture) {
			w.first(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
		}, mirror, "the connection ended before the answer did"},
		{"it hangs up in the middle of a layer", func(w *fixture) {
			w.protected(instead("/blobs/", http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
				rw.Header().Set("Content-Length", fmt.Sprint(len(w.image.layer)))
				rw.(http.Flusher).Flush()
				panic(http.ErrAbortHandler)
			}), has("/v2/team/app", w.image)))
			w.mirrors(w.mirror.URL)
		}, "", "the pull ends here"},
		{"wrong bytes", func(w *fixture) {
			w.protected(wrongManifest(has("/v2/team/app", w.image)))
			w.mirrors(w.mirror.URL)
		}, "", "does not have the digest"},
		{"no host table, 1.6", func(w *fixture) {
			w.Node.Release = containerdconf.Release{Major: 1, Minor: 6, Patch: 20}
			w.hosts(w.own(), "server = %q\n", w.mirror.URL)
		}, up, "it has no [host] table"},
		{"no host table, 2.4", func(w *fixture) { w.hosts(w.own(), "server = %q\n", w.mirror.URL) }, mirror, ""},
		{"referrers, 1.6", func(w *fixture) {
			w.Node.Release = containerdconf.Release{Major: 1, Minor: 6, Patch: 20}
			w.hosts(w.own(), "[host.%q]\ncapabilities = [\"pull\", \"resolve\", \"referrers\"]\n", w.mirror.URL)
		}, up, "referrers"},
		{"a BOM, 1.7", func(w *fixture) {
			w.Node.Release = containerdconf.Release{Major: 1, Minor: 7, Patch: 28}
			w.hosts(w.own(), "\ufeff[host.%q]\n", w.mirror.URL)
		}, mirror, ""},
		{"a BOM, 2.4", func(w *fixture) {
			w.Node.Release = containerdconf.Release{Major: 2, Minor: 4, Patch: 2}
			w.hosts(w.own(), "\ufeff[host.%q]\n", w.mirror.URL)
		}, up, "containerd ignores the file"},
		{"a BOM, release not known", func(w *fixture) { w.hosts(w.own(), "\ufeff[host.%q]\n", w.mirror.URL) }, up, "is read differently: containerd 1.6 to 1.7 asks"},
		{"a plain key below host, 1.7", func(w *fixture) {
			w.Node.Release = containerdconf.Release{Major: 1, Minor: 7, Patch: 28}
			w.hosts(w.own(), "[host]\nnote = 1\n[host.%q]\n", w.mirror.URL)
		}, "", "crashes at the pull"},
		{"a mirror with brackets, 1.7", func(w *fixture) {
			w.Node.Release = containerdconf.Release{Major: 1, Minor: 7, Patch: 28}
			w.hosts(w.own(), "[host.\"http://[::1]:5000\"]\n[host.%q]\n", w.mirror.URL)
		}, up, "cannot read an IPv6 address in brackets"},
		{"no login that containerd knows", func(w *fixture) {
			w.protected(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
				rw.Header().Set("Www-Authenticate", `Digest realm="fake", nonce="x"`)
				rw.WriteHeader(http.StatusUnauthorized)
			}))
			w.mirrors(w.mirror.URL)
			w.absent = "pull secret"
		}, up, "401"},
		{"a pull secret beside a header", func(w *fixture) {
			w.protected(basic("robot", secret, has("/v2/team/app", w.image)))
			withHeader(w, secret)
			w.absent = "pull secret"
		}, mirror, ""},
		{"no config_path", func(w *fixture) { w.Node.CertsDirs = nil; w.mirrors(w.mirror.URL) }, up, ""},
		{"IPv6 mirror", func(w *fixture) {
			w.mirror = serve(w, "::1", nil, has("/v2/team/app", w.image))
			w.mirrors(w.mirror.URL)
		}, mirror, ""},
		{"IPv6 registry", func(w *fixture) {
			w.up = serve(w, "::1", nil, status(404))
			w.name = w.up.addr() + "/team/app:v1"
			w.hosts(strings.Replace(w.up.addr(), "]:", "]_", 1)+"_", "[host.%q]\n", w.mirror.URL)
		}, mirror, ""},
		{"IPv6 registry, 1.6", func(w *fixture) {
			w.Node.Release = containerdconf.Release{Major: 1, Minor: 6, Patch: 20}
			w.name = "[::1]:5000/team/app:v1"
		}, "", "accepts no IPv6 address"},
		{"empty host table, 1.6", func(w *fixture) {
			w.Node.Release = containerdconf.Release{Major: 1, Minor: 6, Patch: 20}
			w.hosts(w.own(), "server = %q\n[host]\n", w.mirror.URL)
		}, mirror, ""},
		{"no image", func(w *fixture) {
			w.up.Config.Handler = http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
				rw.Header().Set("Content-Type", "application/json")
				rw.Header().Set("Docker-Content-Digest", digestOf(nil))
				fmt.Fprint(rw, "{}")
			})
		}, "", "no image under this name"},
		{"no image for this machine", func(w *fixture) {
			w.image.index = []byte(strings.ReplaceAll(string(w.image.index), runtime.GOARCH, "s390"))
			w.up.Config.Handler = has("/v2/team/app", w.image)
		}, "", "the index has no image for"},
		{"no layer and no configuration", func(w *fixture) {
			w.image.index = []byte(strings.Replace(string(w.image.index), digestOf(w.image.manifest), digestOf([]byte("[]")), 1))
			w.image.manifest = []byte("[]")
			w.up.Config.Handler = has("/v2/team/app", w.image)
		}, "", "not a manifest of an image"},
		{"rate limit", func(w *fixture) {
			w.protected(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				rw.Header().Set("Ratelimit-Limit", "100;w=21600")
				rw.Header().Set("Ratelimit-Remaining", "7;w=21600")
				has("/v2/team/app", w.image).ServeHTTP(rw, r)
			}))
			w.mirrors(w.mirror.URL)
		}, mirror, `"remaining":7`},
	}
}

func TestImage(t *testing.T) {
	for _, c := range rows() {
		t.Run(c.name, func(t *testing.T) {
			w := newFixture(t)
			c.set(w)
			r := w.Image(t.Context(), w.name)
			raw, err := json.Marshal(r)
			if err != nil {
				t.Fatal(err)
			}
			want := map[string]string{"up": w.up.addr(), "mirror": w.mirror.addr(), "": ""}[c.host]
			if r.Verdict.Host != want || r.Verdict.Serves != (want != "") {
				t.Errorf("it says %q serves, want %q\n%s", r.Verdict.Host, want, raw)
			}
			plain := strings.NewReplacer(`\u003c`, "<", `\u003e`, ">").Replace(string(raw))
			if !strings.Contains(plain, c.says) {
				t.Errorf("it does not say %q:\n%s", c.says, raw)
			}
			if w.absent != "" && strings.Contains(plain, w.absent) {
				t.Errorf("it says %q:\n%s", w.absent, raw)
			}
			if strings.Contains(plain, secret) || strings.Contains(plain, base64.StdEncoding.EncodeToString([]byte("robot:"+secret))) {
				t.Errorf("a secret is in the report:\n%s", raw)
			}
		})
	}
}
