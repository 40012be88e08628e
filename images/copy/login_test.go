package copy_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"

	"github.com/berth-registry/berth/credprovider"
	"github.com/berth-registry/berth/credprovider/ecr"
	"github.com/berth-registry/berth/images/copy"
	"github.com/berth-registry/berth/images/internal/imagestest"
	"github.com/berth-registry/berth/images/reference"
	"github.com/berth-registry/berth/images/registry"
	"github.com/berth-registry/berth/internal/redact"
	"github.com/berth-registry/berth/test/fakes/fakeregistry"
	"github.com/berth-registry/berth/test/images/sample"
)

func itoa(n int) string { return fmt.Sprint(n) }

func TestCopyWithLogins(t *testing.T) {
	for _, token := range []bool{false, true} {
		o := fakeregistry.Options{Username: "user", Password: imagestest.Canary, Token: token}
		source, target := imagestest.StartRegistry(t, o), imagestest.StartRegistry(t, o)
		_, images := imagestest.Fill(t, source, sample.Options{Seed: 31, Images: 3})
		c := &copy.Copier{Access: registry.Access{Logins: imagestest.Logins(imagestest.Login(source.Addr(), ""), imagestest.Login(target.Addr(), "team0"), imagestest.Login(target.Addr(), ""))}}
		wantStatus(t, copyImages(t, c, images, "", target.Addr()), copy.StatusCopied)
		wantSame(t, source, target, "")

		dir := t.TempDir()
		t.Setenv("HOME", dir)
		t.Setenv("DOCKER_CONFIG", dir)
		auth := base64.StdEncoding.EncodeToString([]byte("user:" + imagestest.Canary))
		config := fmt.Sprintf(`{"auths":{%q:{"auth":%q},%q:{"auth":%q}}}`, source.Addr(), auth, target.Addr(), auth)
		if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
		c = &copy.Copier{Access: registry.Access{Docker: authn.DefaultKeychain}}
		wantStatus(t, copyImages(t, c, images, "", target.Addr()+"/again"), copy.StatusCopied)
	}
}

// A refusal names the login that was used, or says that there was none.
func TestCopyDenied(t *testing.T) {
	source := imagestest.StartRegistry(t, fakeregistry.Options{})
	_, images := imagestest.Fill(t, source, sample.Options{Seed: 32, Images: 2})
	for _, token := range []bool{false, true} {
		target := imagestest.StartRegistry(t, fakeregistry.Options{Username: "user", Password: "other", Token: token})
		for _, c := range []struct {
			access registry.Access
			want   string
		}{
			{registry.Access{}, "no login is known for it"},
			{registry.Access{Logins: imagestest.Logins(imagestest.Login(target.Addr(), ""))}, "asked with the login of the config"},
		} {
			for _, r := range copyImages(t, &copy.Copier{Access: c.access}, images, "", target.Addr()) {
				if r.Status != copy.StatusFailed || !strings.Contains(r.Error, "401") || !strings.Contains(r.Error, c.want) || strings.Contains(r.Error, imagestest.Canary) {
					t.Errorf("%s: %q, want %q", r.Status, r.Error, c.want)
				}
			}
		}
	}
}

// A login is sent only to its registry: not after a redirect, not to another upload address, not to
// another realm.
func TestSecretsNotSentElsewhere(t *testing.T) {
	for _, token := range []bool{false, true} {
		o := fakeregistry.Options{Username: "user", Password: imagestest.Canary, Token: token}
		setup := func(t *testing.T) (source, target *fakeregistry.Server, d *imagestest.Decoy, images []reference.Reference, c *copy.Copier) {
			source, target, d = imagestest.StartRegistry(t, o), imagestest.StartRegistry(t, o), imagestest.StartDecoy(t)
			_, images = imagestest.Fill(t, source, sample.Options{Seed: 33, Images: 1})
			return source, target, d, images, &copy.Copier{Access: registry.Access{Logins: imagestest.Logins(imagestest.Login(source.Addr(), ""), imagestest.Login(target.Addr(), ""))}}
		}
		redirect := func(s *fakeregistry.Server, part string, d *imagestest.Decoy) {
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
				if r.Status != copy.StatusFailed || strings.Contains(r.Error, "presigned-canary") {
					t.Errorf("%s %q", r.Status, r.Error)
				}
				d.WantNothing(t, true)
			})
		}
		t.Run(fmt.Sprintf("token %v: another host answers for the registry", token), func(t *testing.T) {
			source, target, d, images, c := setup(t)
			source.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
				http.Redirect(w, r, d.URL+r.URL.Path, http.StatusTemporaryRedirect)
				return true
			})
			r := copyImages(t, c, images, "", target.Addr())[0]
			if r.Status != copy.StatusFailed || !strings.Contains(r.Error, "redirects to another address") {
				t.Errorf("%s %q", r.Status, r.Error)
			}
			d.WantNothing(t, false)
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
			if r.Status != copy.StatusFailed {
				t.Errorf("%s", r.Status)
			}
			d.WantNothing(t, true)
		})
		t.Run(fmt.Sprintf("token %v: a realm on another machine, over plain http", token), func(t *testing.T) {
			source, target, _, images, c := setup(t)
			source.Intercept(func(w http.ResponseWriter, _ *http.Request) bool {
				w.Header().Set("WWW-Authenticate", `Bearer realm="http://evil.example/token",service="x"`)
				w.WriteHeader(http.StatusUnauthorized)
				return true
			})
			// All requests to other hosts arrive here.
			proxy := imagestest.StartDecoy(t)
			c.Access.Proxy = imagestest.ThroughFor(t, proxy.URL, "evil.example")
			r := copyImages(t, c, images, "", target.Addr())[0]
			if r.Status != copy.StatusFailed || !strings.Contains(r.Error, "plain http") {
				t.Errorf("%s %q", r.Status, r.Error)
			}
			proxy.WantNothing(t, false)
		})
	}
}

// Plain http is allowed for this machine or by the config; for logins only by their own entry.
func TestPlainHTTP(t *testing.T) {
	source := imagestest.StartRegistry(t, fakeregistry.Options{})
	_, images := imagestest.Fill(t, source, sample.Options{Seed: 34, Images: 1})
	const host = "registry.test"
	for _, c := range []struct {
		name   string
		access registry.Access
		want   string // in the error; "" for none
	}{
		{"plainHTTP", registry.Access{Settings: []registry.Settings{{Host: host, Reach: true, PlainHTTP: true}}}, ""},
		{"plainHTTP with a login", registry.Access{
			Settings: []registry.Settings{{Host: host, Reach: true, PlainHTTP: true, Login: true}}, Logins: imagestest.Logins(imagestest.Login(host, "")),
		}, "not sent over plain http"},
		{"allowed", registry.Access{
			Settings: []registry.Settings{{Host: host, Reach: true, PlainHTTP: true, Login: true, AllowPlainHTTPCredentials: true}}, Logins: imagestest.Logins(imagestest.Login(host, "")),
		}, ""},
		{"allowed for another login", registry.Access{
			Settings: []registry.Settings{{Host: host, Reach: true, PlainHTTP: true, AllowPlainHTTPCredentials: true}, {Host: host + "/team0", Login: true}},
			Logins:   imagestest.Logins(imagestest.Login(host, "team0")),
		}, "not sent over plain http"},
	} {
		t.Run(c.name, func(t *testing.T) {
			target := imagestest.StartRegistry(t, fakeregistry.Options{})
			c.access.Proxy = imagestest.ThroughFor(t, target.URL(), host)
			r := copyImages(t, &copy.Copier{Access: c.access}, images, "", host)[0]
			if c.want == "" {
				if r.Status != copy.StatusCopied {
					t.Errorf("%s %q", r.Status, r.Error)
				}
				return
			}
			if r.Status != copy.StatusFailed || !strings.Contains(r.Error, c.want) || sent(target) > 0 {
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
	return credprovider.Token{Token: ecr.Token{Username: "user", Password: redact.New(imagestest.Canary), Expires: time.Now().Add(k.life)}}, k.err
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

// ecrAccess reaches a fake registry under a name of ECR.
func ecrAccess(t testing.TB, s *fakeregistry.Server, k *tokens) registry.Access {
	return registry.Access{
		ECR: k, Proxy: imagestest.ThroughFor(t, s.URL(), ecrHost),
		Settings: []registry.Settings{{Host: ecrHost, Reach: true, PlainHTTP: true, AllowPlainHTTPCredentials: true}},
	}
}

// ECR gets a token, and repositories are created on request.
func TestCopyToECR(t *testing.T) {
	source := imagestest.StartRegistry(t, fakeregistry.Options{})
	_, images := imagestest.Fill(t, source, sample.Options{Seed: 35, Images: 6})
	target := imagestest.StartRegistry(t, fakeregistry.Options{Username: "user", Password: imagestest.Canary, NoMount: true, Fixed: []string{"other"}})
	k := &tokens{life: time.Hour}
	access := ecrAccess(t, target, k)
	for _, r := range copyImages(t, &copy.Copier{Access: access}, images, "", ecrHost+"/mirror") {
		if r.Status != copy.StatusFailed || !strings.Contains(r.Error, "--create-repositories") {
			t.Errorf("%s: %q", r.Status, r.Error)
		}
	}
	m := &maker{target: target}
	wantStatus(t, copyImages(t, &copy.Copier{Access: access, Repositories: m}, images, "", ecrHost+"/mirror"), copy.StatusCopied)
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
	wantStatus(t, copyImages(t, &copy.Copier{Access: access, Repositories: m}, images, "", ecrHost+"/mirror"), copy.StatusPresent)
	if len(m.made) != made {
		t.Errorf("%q were made though they were there", m.made[made:])
	}
	if k.n > 20 {
		t.Errorf("%d tokens for a handful of images", k.n)
	}
	denied := &maker{target: target, err: errors.New("not authorized to perform ecr:CreateRepository")}
	for _, r := range copyImages(t, &copy.Copier{Access: access, Repositories: denied}, images, "", ecrHost+"/third") {
		if r.Status != copy.StatusFailed || !strings.Contains(r.Error, "not authorized") {
			t.Errorf("%s: %q", r.Status, r.Error)
		}
	}
}

// The public registry of ECR can be pulled from without keys.
func TestPublicECR(t *testing.T) {
	public := imagestest.StartRegistry(t, fakeregistry.Options{})
	set, _ := imagestest.Fill(t, public, sample.Options{Seed: 37, Images: 2})
	target := imagestest.StartRegistry(t, fakeregistry.Options{})
	k := &tokens{err: errors.New("no keys")}
	access := registry.Access{
		ECR: k, Proxy: imagestest.ThroughFor(t, public.URL(), "public.ecr.aws"),
		Settings: []registry.Settings{{Host: "public.ecr.aws", Reach: true, PlainHTTP: true, AllowPlainHTTPCredentials: true}},
	}
	var images []reference.Reference
	for _, i := range set.Images {
		images = append(images, imagestest.MustParse(t, "public.ecr.aws/"+i.Repository+":"+i.Tag))
	}
	wantStatus(t, copyImages(t, &copy.Copier{Access: access}, images, "", target.Addr()), copy.StatusCopied)
	if k.n != 1 {
		t.Errorf("%d tokens were asked for, want one attempt", k.n)
	}
}

// An ECR token is sent to no other token service; one that expires soon is renewed.
func TestECRTokens(t *testing.T) {
	source := imagestest.StartRegistry(t, fakeregistry.Options{})
	_, images := imagestest.Fill(t, source, sample.Options{Seed: 36, Images: 2})
	target, d := imagestest.StartRegistry(t, fakeregistry.Options{}), imagestest.StartDecoy(t)
	target.Intercept(func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("WWW-Authenticate", `Bearer realm="`+d.URL+`/token",service="x"`)
		w.WriteHeader(http.StatusUnauthorized)
		return true
	})
	for _, r := range copyImages(t, &copy.Copier{Access: ecrAccess(t, target, &tokens{life: time.Hour})}, images, "", ecrHost) {
		if r.Status != copy.StatusFailed || !strings.Contains(r.Error, "is sent to the registry only") {
			t.Errorf("%s: %q", r.Status, r.Error)
		}
	}
	d.WantNothing(t, false)

	basic := imagestest.StartRegistry(t, fakeregistry.Options{Username: "user", Password: imagestest.Canary})
	k := &tokens{life: time.Minute}
	wantStatus(t, copyImages(t, &copy.Copier{Access: ecrAccess(t, basic, k), Repositories: &maker{target: basic}}, images, "", ecrHost), copy.StatusCopied)
	if k.n < 10 {
		t.Errorf("a token that is about to expire was used for long (%d were got)", k.n)
	}
	k = &tokens{err: errors.New("no ECR token for eu-west-1: access denied")}
	for _, r := range copyImages(t, &copy.Copier{Access: ecrAccess(t, basic, k)}, images, "", ecrHost+"/x") {
		if r.Status != copy.StatusFailed || !strings.Contains(r.Error, "access denied") || strings.Contains(r.Error, "http://") {
			t.Errorf("%s: %q", r.Status, r.Error)
		}
	}
}
