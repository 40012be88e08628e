package images

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"

	"github.com/berth-registry/berth/credprovider"
	"github.com/berth-registry/berth/credprovider/ecr"
	"github.com/berth-registry/berth/internal/redact"
	"github.com/berth-registry/berth/test/fakes/fakeregistry"
	"github.com/berth-registry/berth/test/images/sample"
)

func itoa(n int) string { return fmt.Sprint(n) }

const canary = "hunter2-canary"

func logins(all ...credprovider.Login) credprovider.Logins { return credprovider.NewLogins(all) }

func login(host, path string) credprovider.Login {
	return credprovider.Login{Host: host, Path: path, Username: "user", Password: redact.New(canary)}
}

// decoy is a host that must not see a secret. It answers everything with what
// invites people to log in.
type decoy struct {
	*httptest.Server
	mu   sync.Mutex
	seen []string
	body string
}

func startDecoy(t testing.TB) *decoy {
	d := &decoy{}
	d.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d.mu.Lock()
		seen := r.Method + " " + r.URL.String()
		for name, values := range r.Header {
			seen += fmt.Sprintf(" %s=%q", name, values)
		}
		d.seen = append(d.seen, seen)
		body := d.body
		d.mu.Unlock()
		if body != "" {
			_, _ = w.Write([]byte(body))
			return
		}
		if r.Method == http.MethodPut {
			w.WriteHeader(http.StatusForbidden) // an invitation would be followed by tries
			return
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="give"`)
		w.WriteHeader(http.StatusUnauthorized)
	}))
	t.Cleanup(d.Close)
	return d
}

// wantNothing checks that whoever came brought no secret.
func (d *decoy) wantNothing(t testing.TB, came bool) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range d.seen {
		if strings.Contains(s, canary) || strings.Contains(s, base64.StdEncoding.EncodeToString([]byte("user:"+canary))) ||
			strings.Contains(s, "Authorization") || strings.Contains(s, "token-of-") || strings.Contains(s, "X-Secret") {
			t.Errorf("a secret came along: %s", s)
		}
	}
	if came != (len(d.seen) > 0) {
		t.Errorf("%d requests came to the decoy, want any: %v", len(d.seen), came)
	}
}

// Logins work with Basic and with tokens, from the config and from docker.
// However a registry is spelled, the login for the longest path wins, as it does
// for kubelet and in hosts.toml.
func TestLoginOfEitherSpelling(t *testing.T) {
	for _, c := range []struct{ whole, part string }{{"h.corp", "h.corp:443"}, {"h.corp:443", "h.corp"}} {
		whole, part := login(c.whole, ""), login(c.part, "team")
		whole.Username, part.Username = "whole", "team"
		access := Access{Logins: logins(whole, part)}
		for _, host := range []string{"h.corp", "h.corp:443"} {
			for path, want := range map[string]string{"team/app": "team", "other": "whole"} {
				got, ok := access.configured(host, path, Settings{})
				if auth, err := got.auth.Authorization(); !ok || err != nil || auth.Username != want {
					t.Errorf("%s/%s with logins for %s and %s/team: %+v, want %s", host, path, c.whole, c.part, auth, want)
				}
			}
		}
	}
}

func TestCopyWithLogins(t *testing.T) {
	for _, token := range []bool{false, true} {
		o := fakeregistry.Options{Username: "user", Password: canary, Token: token}
		source, target := startRegistry(t, o), startRegistry(t, o)
		_, images := fill(t, source, sample.Options{Seed: 31, Images: 3})
		c := &Copier{Access: Access{Logins: logins(login(source.Addr(), ""), login(target.Addr(), "team0"), login(target.Addr(), ""))}}
		wantStatus(t, copyImages(t, c, images, "", target.Addr()), StatusCopied)
		wantSame(t, source, target, "")

		dir := t.TempDir()
		t.Setenv("HOME", dir)
		t.Setenv("DOCKER_CONFIG", dir)
		auth := base64.StdEncoding.EncodeToString([]byte("user:" + canary))
		config := fmt.Sprintf(`{"auths":{%q:{"auth":%q},%q:{"auth":%q}}}`, source.Addr(), auth, target.Addr(), auth)
		if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
		c = &Copier{Access: Access{Docker: authn.DefaultKeychain}}
		wantStatus(t, copyImages(t, c, images, "", target.Addr()+"/again"), StatusCopied)
	}
}

// Who is denied is told so, with the login that was used, and without it.
func TestCopyDenied(t *testing.T) {
	source := startRegistry(t, fakeregistry.Options{})
	_, images := fill(t, source, sample.Options{Seed: 32, Images: 2})
	for _, token := range []bool{false, true} {
		target := startRegistry(t, fakeregistry.Options{Username: "user", Password: "other", Token: token})
		for _, c := range []struct {
			access Access
			want   string
		}{
			{Access{}, "no login is known for it"},
			{Access{Logins: logins(login(target.Addr(), ""))}, "asked with the login of the config"},
		} {
			for _, r := range copyImages(t, &Copier{Access: c.access}, images, "", target.Addr()) {
				if r.Status != StatusFailed || !strings.Contains(r.Error, "401") || !strings.Contains(r.Error, c.want) || strings.Contains(r.Error, canary) {
					t.Errorf("%s: %q, want %q", r.Status, r.Error, c.want)
				}
			}
		}
	}
}

// A login goes to its own registry: not along with a redirect, not to where an
// upload is sent on to, not to who answers in its place.
func TestSecretsStay(t *testing.T) {
	for _, token := range []bool{false, true} {
		o := fakeregistry.Options{Username: "user", Password: canary, Token: token}
		setup := func(t *testing.T) (source, target *fakeregistry.Server, d *decoy, images []Reference, c *Copier) {
			source, target, d = startRegistry(t, o), startRegistry(t, o), startDecoy(t)
			_, images = fill(t, source, sample.Options{Seed: 33, Images: 1})
			return source, target, d, images, &Copier{Access: Access{Logins: logins(login(source.Addr(), ""), login(target.Addr(), ""))}}
		}
		redirect := func(s *fakeregistry.Server, part string, d *decoy) {
			s.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
				if !strings.Contains(r.URL.Path, part) {
					return false
				}
				http.Redirect(w, r, d.URL+r.URL.Path+"?signature=presigned-canary", http.StatusTemporaryRedirect)
				return true
			})
		}
		for _, part := range []string{"/blobs/sha256", "/manifests/"} {
			t.Run(fmt.Sprintf("token %v: redirect of %s", token, part), func(t *testing.T) {
				source, target, d, images, c := setup(t)
				redirect(source, part, d)
				r := copyImages(t, c, images, "", target.Addr())[0]
				if r.Status != StatusFailed || strings.Contains(r.Error, "presigned-canary") {
					t.Errorf("%s %q", r.Status, r.Error)
				}
				d.wantNothing(t, true)
			})
		}
		t.Run(fmt.Sprintf("token %v: another host answers for the registry", token), func(t *testing.T) {
			source, target, d, images, c := setup(t)
			source.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
				http.Redirect(w, r, d.URL+r.URL.Path, http.StatusTemporaryRedirect)
				return true
			})
			r := copyImages(t, c, images, "", target.Addr())[0]
			if r.Status != StatusFailed || !strings.Contains(r.Error, "redirects to another address") {
				t.Errorf("%s %q", r.Status, r.Error)
			}
			d.wantNothing(t, false)
		})
		t.Run(fmt.Sprintf("token %v: an upload is sent on", token), func(t *testing.T) {
			_, target, d, images, c := setup(t)
			target.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
				if r.Method != http.MethodPost {
					return false
				}
				w.Header().Set("Location", d.URL+"/elsewhere")
				w.WriteHeader(http.StatusAccepted)
				return true
			})
			r := copyImages(t, c, images, "", target.Addr())[0]
			if r.Status != StatusFailed {
				t.Errorf("%s", r.Status)
			}
			d.wantNothing(t, true)
		})
		t.Run(fmt.Sprintf("token %v: a realm on another machine, over plain http", token), func(t *testing.T) {
			source, target, _, images, c := setup(t)
			source.Intercept(func(w http.ResponseWriter, _ *http.Request) bool {
				w.Header().Set("WWW-Authenticate", `Bearer realm="http://evil.example/token",service="x"`)
				w.WriteHeader(http.StatusUnauthorized)
				return true
			})
			// Whatever leaves for another machine comes here.
			proxy := startDecoy(t)
			c.Access.Proxy = throughFor(t, proxy.URL, "evil.example")
			r := copyImages(t, c, images, "", target.Addr())[0]
			if r.Status != StatusFailed || !strings.Contains(r.Error, "plain http") {
				t.Errorf("%s %q", r.Status, r.Error)
			}
			proxy.wantNothing(t, false)
		})
	}
}

// Everything else is asked over TLS, and a request that would go in the clear
// all the same is not sent.
func TestTLSElsewhere(t *testing.T) {
	target := startRegistry(t, fakeregistry.Options{})
	for _, a := range []Access{
		{},
		{Settings: []Settings{{Host: "registry.test/other", Reach: true, PlainHTTP: true}}},
		{Settings: []Settings{{Host: "registry.test:5000", Reach: true, PlainHTTP: true}}},
	} {
		a.Proxy = throughFor(t, target.URL(), "registry.test")
		w := newWires(a, 1, time.Second, slog.New(slog.DiscardHandler))
		reg, err := w.at("registry.test", "app")
		if err != nil {
			t.Fatal(err)
		}
		if scheme(reg.settings) != "https" {
			t.Errorf("%+v: %s", a.Settings, scheme(reg.settings))
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://registry.test/x", nil)
		if err != nil {
			t.Fatal(err)
		}
		other := &upstreamTransport{wires: w, host: "another.test"}
		if _, err := other.RoundTrip(req); !errors.Is(err, ErrPlainHTTP) {
			t.Errorf("%v, want that it is refused", err)
		}
		w.close()
	}
	for host, plain := range map[string]bool{"localhost:5000": true, "127.0.0.2": true, "[::1]:5000": true, "10.0.0.1": false, "registry.local": false} {
		if got := (Access{}).settings(host, "").PlainHTTP; got != plain {
			t.Errorf("%s: plain http %v", host, got)
		}
	}
	if n := len(target.Requests()); n > 0 {
		t.Errorf("%d requests went in the clear", n)
	}
}

// throughFor is a proxy for one host.
func throughFor(t testing.TB, proxy, host string) func(*http.Request) (*url.URL, error) {
	t.Helper()
	u, err := url.Parse(proxy)
	if err != nil {
		t.Fatal(err)
	}
	return func(r *http.Request) (*url.URL, error) {
		if r.URL.Hostname() == host {
			return u, nil
		}
		return nil, nil
	}
}

// Plain http is for this machine, or where the config says so; logins only with
// the permission in their own entry.
func TestPlainHTTP(t *testing.T) {
	source := startRegistry(t, fakeregistry.Options{})
	_, images := fill(t, source, sample.Options{Seed: 34, Images: 1})
	const host = "registry.test"
	for _, c := range []struct {
		name   string
		access Access
		want   string // in the error; "" for none
	}{
		{"plainHTTP", Access{Settings: []Settings{{Host: host, Reach: true, PlainHTTP: true}}}, ""},
		{"plainHTTP with a login", Access{
			Settings: []Settings{{Host: host, Reach: true, PlainHTTP: true, Login: true}}, Logins: logins(login(host, "")),
		}, "not sent over plain http"},
		{"allowed", Access{
			Settings: []Settings{{Host: host, Reach: true, PlainHTTP: true, Login: true, AllowPlainHTTPCredentials: true}}, Logins: logins(login(host, "")),
		}, ""},
		{"allowed for another login", Access{
			Settings: []Settings{{Host: host, Reach: true, PlainHTTP: true, AllowPlainHTTPCredentials: true}, {Host: host + "/team0", Login: true}},
			Logins:   logins(login(host, "team0")),
		}, "not sent over plain http"},
	} {
		t.Run(c.name, func(t *testing.T) {
			target := startRegistry(t, fakeregistry.Options{})
			c.access.Proxy = throughFor(t, target.URL(), host)
			r := copyImages(t, &Copier{Access: c.access}, images, "", host)[0]
			if c.want == "" {
				if r.Status != StatusCopied {
					t.Errorf("%s %q", r.Status, r.Error)
				}
				return
			}
			if r.Status != StatusFailed || !strings.Contains(r.Error, c.want) || sent(target) > 0 {
				t.Errorf("%s %q, want %q; %d requests came", r.Status, r.Error, c.want, sent(target))
			}
		})
	}
}

type tokens struct {
	mu   sync.Mutex
	n    int
	life time.Duration
	err  error
}

func (k *tokens) Get(context.Context, ecr.Registry) (credprovider.Token, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.n++
	return credprovider.Token{Token: ecr.Token{Username: "user", Password: redact.New(canary), Expires: time.Now().Add(k.life)}}, k.err
}

type maker struct {
	target *fakeregistry.Server
	mu     sync.Mutex
	made   []string
	err    error
}

func (m *maker) CreateRepository(_ context.Context, r ecr.Registry, name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.made = append(m.made, r.Region+" "+name)
	if m.err == nil {
		m.target.AddRepository(name)
	}
	return m.err
}

const ecrHost = "111122223333.dkr.ecr.eu-west-1.amazonaws.com"

// ecrAccess leads to a fake registry under the name of one of Amazon's.
func ecrAccess(t testing.TB, s *fakeregistry.Server, k *tokens) Access {
	return Access{
		ECR: k, Proxy: throughFor(t, s.URL(), ecrHost),
		Settings: []Settings{{Host: ecrHost, Reach: true, PlainHTTP: true, AllowPlainHTTPCredentials: true}},
	}
}

// ECR gets its token, and repositories when that is asked for.
func TestCopyToECR(t *testing.T) {
	source := startRegistry(t, fakeregistry.Options{})
	_, images := fill(t, source, sample.Options{Seed: 35, Images: 6})
	target := startRegistry(t, fakeregistry.Options{Username: "user", Password: canary, NoMount: true, Fixed: []string{"other"}})
	k := &tokens{life: time.Hour}
	access := ecrAccess(t, target, k)
	for _, r := range copyImages(t, &Copier{Access: access}, images, "", ecrHost+"/mirror") {
		if r.Status != StatusFailed || !strings.Contains(r.Error, "--create-repositories") {
			t.Errorf("%s: %q", r.Status, r.Error)
		}
	}
	m := &maker{target: target}
	wantStatus(t, copyImages(t, &Copier{Access: access, Repositories: m}, images, "", ecrHost+"/mirror"), StatusCopied)
	names := map[string]bool{}
	for _, name := range m.made {
		if names[name] {
			t.Errorf("%s was made twice", name)
		}
		names[name] = true
	}
	for _, i := range images {
		if !names["eu-west-1 mirror/"+i.Repository()] {
			t.Errorf("no repository was made for %s: %q", i, m.made)
		}
	}
	made := len(m.made)
	wantStatus(t, copyImages(t, &Copier{Access: access, Repositories: m}, images, "", ecrHost+"/mirror"), StatusPresent)
	if len(m.made) != made {
		t.Errorf("%q were made though they were there", m.made[made:])
	}
	if k.n > 20 {
		t.Errorf("%d tokens for a handful of images", k.n)
	}
	denied := &maker{target: target, err: errors.New("not authorized to perform ecr:CreateRepository")}
	for _, r := range copyImages(t, &Copier{Access: access, Repositories: denied}, images, "", ecrHost+"/third") {
		if r.Status != StatusFailed || !strings.Contains(r.Error, "not authorized") {
			t.Errorf("%s: %q", r.Status, r.Error)
		}
	}
}

// Everybody may pull from the public registry of Amazon, also who has no keys.
func TestPublicECR(t *testing.T) {
	public := startRegistry(t, fakeregistry.Options{})
	set, _ := fill(t, public, sample.Options{Seed: 37, Images: 2})
	target := startRegistry(t, fakeregistry.Options{})
	k := &tokens{err: errors.New("no keys")}
	access := Access{
		ECR: k, Proxy: throughFor(t, public.URL(), "public.ecr.aws"),
		Settings: []Settings{{Host: "public.ecr.aws", Reach: true, PlainHTTP: true, AllowPlainHTTPCredentials: true}},
	}
	var images []Reference
	for _, i := range set.Images {
		images = append(images, mustParse(t, "public.ecr.aws/"+i.Repository+":"+i.Tag))
	}
	wantStatus(t, copyImages(t, &Copier{Access: access}, images, "", target.Addr()), StatusCopied)
	if k.n != 1 {
		t.Errorf("%d tokens were asked for, want one attempt", k.n)
	}
}

// A token of ECR goes to no token service elsewhere; a short one is renewed.
func TestECRTokens(t *testing.T) {
	source := startRegistry(t, fakeregistry.Options{})
	_, images := fill(t, source, sample.Options{Seed: 36, Images: 2})
	target, d := startRegistry(t, fakeregistry.Options{}), startDecoy(t)
	target.Intercept(func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("WWW-Authenticate", `Bearer realm="`+d.URL+`/token",service="x"`)
		w.WriteHeader(http.StatusUnauthorized)
		return true
	})
	for _, r := range copyImages(t, &Copier{Access: ecrAccess(t, target, &tokens{life: time.Hour})}, images, "", ecrHost) {
		if r.Status != StatusFailed || !strings.Contains(r.Error, "goes to the registry alone") {
			t.Errorf("%s: %q", r.Status, r.Error)
		}
	}
	d.wantNothing(t, false)

	basic := startRegistry(t, fakeregistry.Options{Username: "user", Password: canary})
	k := &tokens{life: time.Minute}
	wantStatus(t, copyImages(t, &Copier{Access: ecrAccess(t, basic, k), Repositories: &maker{target: basic}}, images, "", ecrHost), StatusCopied)
	if k.n < 10 {
		t.Errorf("a token that is about to expire was used for long (%d were got)", k.n)
	}
	k = &tokens{err: errors.New("no ECR token for eu-west-1: access denied")}
	for _, r := range copyImages(t, &Copier{Access: ecrAccess(t, basic, k)}, images, "", ecrHost+"/x") {
		if r.Status != StatusFailed || !strings.Contains(r.Error, "access denied") || strings.Contains(r.Error, "http://") {
			t.Errorf("%s: %q", r.Status, r.Error)
		}
	}
}
