package leak

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// All servers have this one image.
const (
	configBody = `{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}`
	layerBody  = "a layer"
)

var (
	manifestBody = fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":%q,"digest":%q,"size":%d},"layers":[{"mediaType":%q,"digest":%q,"size":%d}]}`,
		ocispec.MediaTypeImageManifest, ocispec.MediaTypeImageConfig, digest.FromString(configBody), len(configBody),
		ocispec.MediaTypeImageLayer, digest.FromString(layerBody), len(layerBody))
	manifestDigest = digest.FromString(manifestBody)
)

// behaviour is how one server behaves during one pull. It depends only on the seed, so that Berth and
// the control get the same answers.
type behaviour struct {
	// These two are the same in all pulls of a round, so that they are what apply has seen.
	auth  string // "", basic, never, bearer
	realm string // own, sibling, evil, plain, tokens

	answer   string // serve, 403, 404, 500, 429, drop, redirect
	blob     string // serve, or where it redirects to
	store    string // what it does when it was redirected to
	token    string // what its token endpoint does with a POST
	tokenGet int    // and with a GET
}

func (d *decoy) behaviour(pull int) behaviour {
	from := func(what ...any) *generator {
		h := fnv.New64a()
		fmt.Fprint(h, append(what, d.network.round.id, d.scheme, d.address)...)
		return &generator{Rand: rand.New(rand.NewPCG(d.network.seed, h.Sum64()))}
	}
	always, rnd := from(), from(pull)
	return behaviour{
		auth:     pick(always, "", "basic", "basic", "basic", "basic", "never", "bearer", "bearer", "bearer", "bearer"),
		realm:    pick(always, "own", "own", "sibling", "sibling", "evil", "evil", "plain", "tokens", "tokens"),
		answer:   pick(rnd, "serve", "serve", "serve", "serve", "serve", "serve", "403", "404", "404", "500", "429", "redirect"),
		blob:     pick(rnd, "serve", "serve", "serve", "store", "store", "evil", "port", "subdomain", "plain"),
		store:    pick(rnd, "serve", "serve", "serve", "basic", "bearer", "403", "404"),
		token:    pick(rnd, "serve", "serve", "400", "401", "404", "405", "500"),
		tokenGet: pick(rnd, 200, 200, 200, 401),
	}
}

// statusOf returns the status of an answer: "serve", or a number.
func statusOf(answer string) int {
	if answer == "serve" {
		return http.StatusOK
	}
	status, err := strconv.Atoi(answer)
	if err != nil {
		panic(err)
	}
	return status
}

// The targets of redirects and realms. No config names evil and store, so neither may receive a
// secret; some configs list tokens as the token server of a registry.
const (
	evil       = "https://collector.evil.example"
	store      = "https://bucket.store.example"
	tokensHost = "tokens.corp.example"
	tokens     = "https://" + tokensHost
)

// leadOf returns how containerd was led here; nil if it came without a redirect or realm.
func leadOf(q url.Values) *lead {
	u, err := url.Parse(q.Get("from"))
	if err != nil || u.Host == "" {
		return nil
	}
	return &lead{from: placeOf(u), how: q.Get("how")}
}

// leading returns a url that names the place that led containerd there. If that place was itself
// reached through another one, the url names the first.
func leading(target string, at place, led *lead, how string) string {
	from := at
	if led != nil {
		from = led.from
		if led.how == byRedirect && how == byRealm {
			how = byRedirectRealm
		} else {
			how = led.how
		}
	}
	return target + "?" + url.Values{"from": {from.String()}, "how": {how}}.Encode()
}

func (d *decoy) behave(w http.ResponseWriter, r *http.Request, at place, led *lead) {
	d.network.mu.Lock()
	pull := d.network.pull
	d.network.mu.Unlock()
	m := d.behaviour(pull)
	authorized := r.Header.Get("Authorization") != ""
	switch {
	case r.URL.Path == "/token":
		d.issue(w, r, m)
	case strings.HasPrefix(r.URL.Path, "/store/"):
		if m.store == "basic" || m.store == "bearer" {
			if !authorized {
				d.challenge(w, m.store, m.realm, at, led)
				return
			}
			m.store = "serve"
		}
		d.answer(w, r, m.store)
	case m.auth == "never", m.auth == "basic" && !authorized:
		d.challenge(w, "basic", m.realm, at, led)
	case m.auth == "bearer" && !strings.HasPrefix(r.Header.Get("Authorization"), "Bearer "):
		d.challenge(w, "bearer", m.realm, at, led)
	case m.answer == "redirect":
		d.redirect(w, r, m.blob, at, led)
	case m.answer == "serve" && strings.Contains(r.URL.Path, "/blobs/"):
		d.redirect(w, r, m.blob, at, led)
	default:
		d.answer(w, r, m.answer)
	}
}

// issue serves a token endpoint.
func (d *decoy) issue(w http.ResponseWriter, r *http.Request, m behaviour) {
	status := m.tokenGet
	if r.Method == http.MethodPost {
		status = statusOf(m.token)
	}
	w.Header().Set("Content-Type", "application/json")
	if status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Basic realm="tokens"`)
	}
	w.WriteHeader(status)
	fmt.Fprint(w, `{"token":"opaque","access_token":"opaque","expires_in":300}`)
}

func (d *decoy) challenge(w http.ResponseWriter, scheme, realm string, at place, led *lead) {
	d.network.mu.Lock()
	d.network.challenged[at.scheme+at.host] = true
	d.network.mu.Unlock()
	value := `Basic realm="registry"`
	if scheme == "bearer" {
		target := map[string]string{
			"own":     at.scheme + "://" + at.host,
			"sibling": at.scheme + "://auth." + at.host,
			"plain":   "http://" + at.host,
			"evil":    evil,
			"tokens":  tokens,
		}[realm]
		if realm == "own" && led == nil {
			// containerd needs no lead to reach a server's own endpoint.
			value = fmt.Sprintf(`Bearer realm=%q,service="registry"`, target+"/token")
		} else {
			value = fmt.Sprintf(`Bearer realm=%q,service="registry"`, leading(target+"/token", at, led, byRealm))
		}
	}
	w.Header().Set("WWW-Authenticate", value)
	w.WriteHeader(http.StatusUnauthorized)
}

// redirect redirects a client, or serves.
func (d *decoy) redirect(w http.ResponseWriter, r *http.Request, where string, at place, led *lead) {
	target := map[string]string{
		"store":     store,
		"evil":      evil,
		"port":      at.scheme + "://" + at.name() + ":9443",
		"subdomain": at.scheme + "://blobs." + at.host,
		"plain":     "http://" + at.host,
	}[where]
	if target == "" || at.scheme == "http" && where == "plain" {
		d.answer(w, r, "serve")
		return
	}
	at.path = r.URL.Path
	w.Header().Set("Location", leading(target+"/store"+r.URL.Path, at, led, byRedirect))
	w.WriteHeader(http.StatusTemporaryRedirect)
}

func (d *decoy) answer(w http.ResponseWriter, r *http.Request, how string) {
	if how != "serve" {
		w.WriteHeader(statusOf(how))
		return
	}
	body, mediaType := manifestBody, ocispec.MediaTypeImageManifest
	switch {
	case strings.HasSuffix(r.URL.Path, digest.FromString(configBody).String()):
		body, mediaType = configBody, "application/octet-stream"
	case strings.HasSuffix(r.URL.Path, digest.FromString(layerBody).String()):
		body, mediaType = layerBody, "application/octet-stream"
	}
	w.Header().Set("Content-Type", mediaType)
	w.Header().Set("Docker-Content-Digest", digest.FromString(body).String())
	w.Header().Set("Content-Length", fmt.Sprint(len(body)))
	if r.Method != http.MethodHead {
		fmt.Fprint(w, body)
	}
}
