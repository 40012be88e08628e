package trace

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/berth-registry/berth/credprovider"
	"github.com/berth-registry/berth/internal/kubeletauths"
	"github.com/berth-registry/berth/internal/nodefs"
	"github.com/berth-registry/berth/internal/redact"
	"github.com/berth-registry/berth/test/nodetest"
)

// explains returns the explanation for a node whose config has a login for each of these hosts.
func explains(passed bool, hosts ...credprovider.HostExplanation) func(context.Context, string) (credprovider.Explanation, error) {
	return func(_ context.Context, image string) (credprovider.Explanation, error) {
		img, err := credprovider.ParseImage(image)
		if err != nil {
			return credprovider.Explanation{}, err
		}
		e := credprovider.Explanation{Image: img, Directory: img.Registry, Hosts: hosts, Err: credprovider.ErrNotServed}
		if passed {
			e.Credential = &credprovider.Credential{Username: hosts[0].Username, Password: hosts[0].Password, Rule: hosts[0].Rule}
			e.Err = nil
		}
		return e, nil
	}
}

func loginAt(host string) credprovider.HostExplanation {
	return credprovider.HostExplanation{
		Host: credprovider.Host{Host: host}, Rule: "login " + host, Username: "robot", Password: redact.New(secret),
	}
}

// A login that kubelet passes reaches the host that it is for, and no other host that asks for a
// login, whatever certs.d says.
func TestPassedLoginStaysWithItsHost(t *testing.T) {
	w := newFixture(t)
	nosy := serve(t, "127.0.0.1", nil, basic("nobody", "x", status(http.StatusOK)))
	w.protected(basic("robot", secret, has("/v2/team/app", w.image)))
	w.mirrors(nosy.URL, w.mirror.URL)
	w.Explain = explains(true, loginAt(w.mirror.addr()))
	r := w.Image(t.Context(), w.name)
	if r.Verdict.Host != w.mirror.addr() || r.Hosts[1].Credential.Channel != "provider" || r.Hosts[0].Credential.Channel != "none" {
		t.Errorf("%+v", r)
	}
	if strings.Contains(nosy.headers(), "Authorization") || nosy.requests() == 0 {
		t.Errorf("the host without a login was asked:\n%s", nosy.headers())
	}
	if !strings.Contains(w.mirror.headers(), "Authorization") {
		t.Error("the mirror did not get its login")
	}
	raw, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"pull-secret"`, `certs.d is not as the config says`} {
		if !strings.Contains(string(raw), want) {
			t.Errorf("it does not say %s:\n%s", want, raw)
		}
	}
	if strings.Contains(string(raw), secret) {
		t.Errorf("a secret is in the report:\n%s", raw)
	}
}

// A login in kubelet's own config.json counts as passed without a provider, if it is the one of the
// config.
func TestLoginInConfigJSON(t *testing.T) {
	for _, c := range []struct{ name, password, channel, kubelet string }{
		{"the login", secret, "config.json", "kubelet passes login %s, from /var/lib/kubelet/config.json; it uses a change of that file within five minutes"},
		{"another one", "old", "none", "kubelet's provider would pass login %s, and is not asked: there is none"},
	} {
		w := newFixture(t)
		w.protected(basic("robot", secret, has("/v2/team/app", w.image)))
		w.mirrors(w.mirror.URL)
		w.Explain = explains(true, loginAt(w.mirror.addr()))
		w.Unasked = func(string) string { return "there is none" }
		root, err := nodefs.OpenRoot(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		registry, _, _ := strings.Cut(w.name, "/")
		content, err := kubeletauths.Encode([]kubeletauths.Login{{Host: registry, Username: "robot", Password: redact.New(c.password)}})
		if err != nil {
			t.Fatal(err)
		}
		nodetest.WriteFile(t, root.Path("/"), nodetest.KubeletFile, string(content))
		w.ConfigJSON = KubeletFile(root, nodetest.KubeletFile)
		r := w.Image(t.Context(), w.name)
		if got, want := r.Credential, fmt.Sprintf(c.kubelet, w.mirror.addr()); got != want || r.Hosts[0].Credential.Channel != c.channel {
			t.Errorf("%s: %q by %q, want %q by %q", c.name, got, r.Hosts[0].Credential.Channel, want, c.channel)
		}
		if got := strings.Contains(w.mirror.headers(), "Authorization"); got != (c.channel != "none") {
			t.Errorf("%s: the mirror got a login: %t", c.name, got)
		}
		if err := root.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// A login reaches no host if kubelet does not ask the provider, and the report says why.
func TestUnaskedIsTold(t *testing.T) {
	for why, channel := range map[string]string{"": "provider", "kubelet has no credential provider": "none"} {
		w := newFixture(t)
		w.protected(basic("robot", secret, has("/v2/team/app", w.image)))
		w.mirrors(w.mirror.URL)
		w.Explain = explains(true, loginAt(w.mirror.addr()))
		w.Unasked = func(image string) string {
			if !strings.HasSuffix(image, "/team/app:v1") {
				t.Errorf("asked about %s", image)
			}
			return why
		}
		r := w.Image(t.Context(), w.name)
		c := r.Hosts[0].Credential
		if c.Channel != channel || c.Problem != why || !strings.Contains(r.Credential, why) || strings.Contains(r.Credential, "no kubelet was seen") {
			t.Errorf("%q: %+v, %s", why, c, r.Credential)
		}
		if got := strings.Contains(w.mirror.headers(), "Authorization"); got != (why == "") {
			t.Errorf("%q: the mirror got a login: %t", why, got)
		}
	}
}

func TestWithheldIsTold(t *testing.T) {
	w := newFixture(t)
	w.mirrors(w.mirror.URL)
	withheld := &credprovider.WithheldError{Image: "team/app", Owner: w.mirror.addr(), Other: w.up.addr()}
	w.Explain = func(context.Context, string) (credprovider.Explanation, error) {
		return credprovider.Explanation{Hosts: []credprovider.HostExplanation{loginAt(w.mirror.addr())}, Err: withheld}, nil
	}
	r := w.Image(t.Context(), w.name)
	if c := r.Hosts[0].Credential; c.Channel != "none" || c.Problem != withheld.Error() {
		t.Errorf("%+v", c)
	}
	if !strings.Contains(r.Credential, "withheld") || !r.Verdict.Serves {
		t.Errorf("%+v", r)
	}
}

func TestCredentialsThatCannotBeTold(t *testing.T) {
	w := newFixture(t)
	w.Explain = func(context.Context, string) (credprovider.Explanation, error) {
		return credprovider.Explanation{}, errors.New("the rules are broken")
	}
	if r := w.Image(t.Context(), w.name); !r.Verdict.Serves || len(r.Notes) != 1 || !strings.Contains(r.Notes[0].Text, "the rules are broken") {
		t.Errorf("%+v", r)
	}
}

func TestTokenInHeader(t *testing.T) {
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		left time.Duration
		note string
	}{{6 * time.Hour, ""}, {10 * time.Minute, "expires"}, {-time.Minute, "expired"}} {
		w := newFixture(t)
		w.Now = func() time.Time { return now }
		token := base64.StdEncoding.EncodeToString(fmt.Appendf(nil, `{"payload":"x","expiration":%d}`, now.Add(c.left).Unix()))
		w.hosts(w.own(), "[host.%q]\n[host.%q.header]\nAuthorization = \"Basic %s\"\n", w.mirror.URL, w.mirror.URL,
			base64.StdEncoding.EncodeToString([]byte("AWS:"+token)))
		r := w.Image(t.Context(), w.name)
		got := r.Hosts[0].Credential
		if got.What != "ECR token" || got.Expires == nil || !got.Expires.Equal(now.Add(c.left)) {
			t.Errorf("%s left: %+v", c.left, got)
		}
		note := ""
		for _, n := range r.Notes {
			note += n.ID
		}
		if note != c.note {
			t.Errorf("%s left: notes %+v", c.left, r.Notes)
		}
		raw, err := json.Marshal(r)
		if err != nil || strings.Contains(string(raw), token) {
			t.Errorf("%v: %s", err, raw)
		}
	}
}

// An identity that gets a token of ECR and may not pull one repository is named, with the right that
// it lacks.
func TestDeniedRepository(t *testing.T) {
	w := newFixture(t)
	w.protected(status(http.StatusForbidden))
	w.hosts(w.own(), "[host.%q]\n[host.%q.header]\nAuthorization = \"Basic %s\"\n", w.mirror.URL, w.mirror.URL,
		base64.StdEncoding.EncodeToString([]byte("AWS:"+secret)))
	w.Explain = explains(false, credprovider.HostExplanation{
		Host: credprovider.Host{Host: w.mirror.addr(), Header: true}, Rule: "ecr 111122223333 us-east-1", Source: "sdk profile pull",
		Username: "AWS", Password: redact.New(secret), Expires: time.Now().Add(time.Hour),
	})
	for _, only := range []bool{false, true} {
		w.ResolveOnly = only
		r := w.Image(t.Context(), w.name)
		if got := r.Hosts[0]; !got.Resolve.Refused() || got.Credential.Source != "sdk profile pull" || only && r.Hosts[1].Content.Asked {
			t.Errorf("%+v", got)
		}
		raw, err := json.Marshal(r.Notes)
		if err != nil || !strings.Contains(string(raw), `the identity \"sdk profile pull\" and refuses it this repository`) || !strings.Contains(string(raw), "ecr:BatchGetImage") {
			t.Errorf("%v: %s", err, raw)
		}
	}
}
