package client

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/berth-registry/berth/credprovider/ecr"
	"github.com/berth-registry/berth/internal/ec2"
	"github.com/berth-registry/berth/test/fakes/fakeaws"
)

func registry(t testing.TB, host string) ecr.Registry {
	t.Helper()
	r, ok := ecr.ParseHost(host)
	if !ok {
		t.Fatalf("%s is no ECR host", host)
	}
	return r
}

const usEast = "111122223333.dkr.ecr.us-east-1.amazonaws.com"

// TestOutcomes is the outcome table: the consequence of each failure of a source. The second
// source, static keys, gives a token in each case.
func TestOutcomes(t *testing.T) {
	const forever = 0
	for _, c := range []struct {
		name     string
		prepare  func(w *world)
		outcome  ecr.Outcome
		remember time.Duration
		// ecrCalls are those with the profile's keys, tokenCalls those to the
		// metadata service for a session.
		ecrCalls, tokenCalls int
	}{
		{"nothing listens", func(w *world) { w.env[ec2.EnvMetadata] = "http://127.0.0.1:1" }, ecr.Unreachable, 10 * time.Minute, 0, 0},
		{"dropped connections", fault(fakeaws.Fault{Point: fakeaws.MetadataToken, Drop: true}), ecr.Unreachable, 10 * time.Minute, 0, 2},
		{"hop limit", fault(fakeaws.Fault{Point: fakeaws.MetadataToken, Hang: true}), ecr.Unreachable, 10 * time.Minute, 0, 2},
		{"session 401", fault(fakeaws.Fault{Point: fakeaws.MetadataToken, Status: 401}), ecr.NotEC2, 10 * time.Minute, 0, 1},
		{"session 403", fault(fakeaws.Fault{Point: fakeaws.MetadataToken, Status: 403}), ecr.NotEC2, 10 * time.Minute, 0, 1},
		{"session 404", fault(fakeaws.Fault{Point: fakeaws.MetadataToken, Status: 404}), ecr.NotEC2, 10 * time.Minute, 0, 1},
		{"session is a redirect", fault(fakeaws.Fault{Point: fakeaws.MetadataToken, Status: 302, Location: "http://127.0.0.1:1/"}), ecr.NotEC2, 10 * time.Minute, 0, 1},
		{"session is a web page", fault(fakeaws.Fault{Point: fakeaws.MetadataToken, Body: "<html>\nlogin</html>"}), ecr.NotEC2, 10 * time.Minute, 0, 1},
		{"session 500", fault(fakeaws.Fault{Point: fakeaws.MetadataToken, Status: 500}), ecr.Busy, 10 * time.Second, 0, 2},
		{"session of 10 MB", fault(fakeaws.Fault{Point: fakeaws.MetadataToken, Huge: 10 << 20}), ecr.Unreachable, 10 * time.Minute, 0, 2},
		{"another cloud", func(w *world) { w.SetNotEC2(true) }, ecr.NotEC2, 10 * time.Minute, 0, 1},
		{"no role", func(w *world) { w.SetRole("", fakeaws.Key{}) }, ecr.NoRole, 5 * time.Minute, 0, 1},
		{"role that cannot be assumed", fault(fakeaws.Fault{Point: fakeaws.MetadataCredentials, Body: `{"Code":"AssumeRoleUnauthorizedAccess"}`}), ecr.NoRole, 5 * time.Minute, 0, 1},
		{"role keys are garbage", fault(fakeaws.Fault{Point: fakeaws.MetadataCredentials, Body: `profile-secret-canary {`}), ecr.Busy, 10 * time.Second, 0, 2},
		{"access denied", ecrFault(fakeaws.Fault{Status: 400, Code: "AccessDeniedException", Message: "User: arn:aws:sts::1:x is not authorized to perform: ecr:GetAuthorizationToken"}), ecr.Denied, 15 * time.Minute, 1, 1},
		{"bare 403", ecrFault(fakeaws.Fault{Status: 403}), ecr.Denied, 15 * time.Minute, 1, 1},
		{"bare 401", ecrFault(fakeaws.Fault{Status: 401}), ecr.Rejected, 5 * time.Minute, 2, 2},
		{"expired keys", ecrFault(fakeaws.Fault{Status: 400, Code: "ExpiredTokenException", Message: "expired"}), ecr.Rejected, 5 * time.Minute, 2, 2},
		{"unknown keys", ecrFault(fakeaws.Fault{Status: 400, Code: "com.amazon.coral.service#UnrecognizedClientException"}), ecr.Rejected, 5 * time.Minute, 2, 2},
		{"throttled", ecrFault(fakeaws.Fault{Status: 400, Code: "ThrottlingException", Message: "Rate exceeded"}), ecr.Busy, 10 * time.Second, 2, 2},
		{"throttled for long", ecrFault(fakeaws.Fault{Status: 429, Code: "ThrottlingException", RetryAfter: 30 * time.Second}), ecr.Busy, 30 * time.Second, 1, 1},
		{"throttled for ever", ecrFault(fakeaws.Fault{Status: 429, RetryAfter: time.Hour}), ecr.Busy, time.Minute, 1, 1},
		{"500", ecrFault(fakeaws.Fault{Status: 500}), ecr.Busy, 10 * time.Second, 2, 2},
		{"404", ecrFault(fakeaws.Fault{Status: 404}), ecr.Busy, 10 * time.Second, 2, 2},
		{"redirect", ecrFault(fakeaws.Fault{Status: 307, Location: "http://127.0.0.1:1/"}), ecr.Busy, 10 * time.Second, 2, 2},
		{"dropped", ecrFault(fakeaws.Fault{Drop: true}), ecr.Busy, 10 * time.Second, 2, 2},
		{"slow", ecrFault(fakeaws.Fault{Hang: true}), ecr.Busy, 10 * time.Second, 2, 2},
		{"slow drip", ecrFault(fakeaws.Fault{Drip: 50 * time.Millisecond}), ecr.Busy, 10 * time.Second, 2, 2},
		{"garbage", ecrFault(fakeaws.Fault{Body: "profile-secret-canary <html>"}), ecr.Busy, 10 * time.Second, 2, 2},
		{"no token in it", ecrFault(fakeaws.Fault{Body: `{"authorizationData":[]}`}), ecr.Busy, 10 * time.Second, 2, 2},
		{"10 MB", ecrFault(fakeaws.Fault{Huge: 10 << 20}), ecr.Busy, 10 * time.Second, 2, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			c.prepare(w)
			var log bytes.Buffer
			chain := w.chain(t, ecr.Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
			res := chain.Fetch(context.Background(), ecr.Request{Registry: registry(t, usEast)})
			if res.Err != nil {
				t.Fatalf("the static keys do not serve: %v", res.Err)
			}
			if issued, ok := w.Token(res.Token.Password.Reveal()); !ok || issued.KeyID != staticKey.ID || issued.Region != "us-east-1" {
				t.Errorf("the token is %+v", issued)
			}
			v, ok := res.Learned["profile"]
			if !ok || v.Outcome != c.outcome || v.Until.Sub(v.At) != c.remember {
				t.Errorf("learned %q for %s, want %q for %s", v.Outcome, v.Until.Sub(v.At), c.outcome, c.remember)
			}
			if n := w.Count(fakeaws.ECR, profileKey.ID); n != c.ecrCalls {
				t.Errorf("%d calls of ECR with the profile, want %d", n, c.ecrCalls)
			}
			if n := w.Count(fakeaws.MetadataToken, ""); n != c.tokenCalls {
				t.Errorf("%d sessions were asked for, want %d", n, c.tokenCalls)
			}
			if n := w.Count(fakeaws.MetadataV1, ""); n != forever {
				t.Errorf("version 1 of the metadata service was asked %d times", n)
			}
			if n := strings.Count(log.String(), `msg="this source gave no ECR token"`); n != 1 || !strings.Contains(log.String(), string(c.outcome)) {
				t.Errorf("%d lines are logged:\n%s", n, &log)
			}
			noCanary(t, log.String()+v.Message, res.Token.Password.Reveal())
		})
	}
}

func fault(f fakeaws.Fault) func(*world) { return func(w *world) { w.Inject(f) } }

// ecrFault is a fault of the requests that the profile's keys sign.
func ecrFault(f fakeaws.Fault) func(*world) {
	f.Point, f.KeyID = fakeaws.ECR, profileKey.ID
	return fault(f)
}

func noCanary(t *testing.T, text string, more ...string) {
	t.Helper()
	for _, secret := range append(more, profileKey.Secret, profileKey.Session, staticKey.Secret) {
		if strings.Contains(text, secret) {
			t.Errorf("a secret shows:\n%s", text)
		}
	}
}

func TestProfileServes(t *testing.T) {
	w := newWorld(t)
	for host, service := range map[string]fakeaws.Point{
		"111122223333.dkr.ecr.eu-west-1.amazonaws.com":     fakeaws.ECR,
		"111122223333.dkr-ecr-fips.us-west-2.on.aws":       fakeaws.ECR,
		"111122223333.dkr.ecr.cn-north-1.amazonaws.com.cn": fakeaws.ECR,
		"public.ecr.aws": fakeaws.ECRPublic,
	} {
		r := registry(t, host)
		res := w.chain(t, ecr.Options{}).Fetch(context.Background(), ecr.Request{Registry: r})
		if res.Err != nil {
			t.Errorf("%s: %v", host, res.Err)
			continue
		}
		issued, _ := w.Token(res.Token.Password.Reveal())
		if issued.Service != service || issued.Region != r.Region || issued.KeyID != profileKey.ID || res.Identity != "profile" {
			t.Errorf("%s: %+v", host, issued)
		}
		if life := res.Token.Expires.Sub(res.Token.Issued); life < 12*time.Hour-2*time.Second || life > 12*time.Hour+2*time.Second {
			t.Errorf("%s: a life of %s", host, life)
		}
	}
	if n := w.Count(fakeaws.MetadataV1, ""); n != 0 {
		t.Errorf("version 1 of the metadata service was asked %d times", n)
	}
}

func TestTemporaryFailureHeals(t *testing.T) {
	for name, f := range map[string]fakeaws.Fault{
		"500":                   {Status: 500},
		"throttled":             {Status: 400, Code: "ThrottlingException", RetryAfter: time.Second},
		"keys expired just now": {Status: 400, Code: "ExpiredTokenException"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			f.Times = 1
			ecrFault(f)(w)
			res := w.chain(t, ecr.Options{}).Fetch(context.Background(), ecr.Request{Registry: registry(t, usEast)})
			if res.Err != nil || res.Identity != "profile" {
				t.Errorf("%q serves, %v", res.Identity, res.Err)
			}
			if n := w.Count(fakeaws.MetadataCredentials, ""); n != 2 {
				t.Errorf("the role's keys were read %d times, want 2", n)
			}
		})
	}
}

func TestClockSkew(t *testing.T) {
	for name, skew := range map[string]time.Duration{"we are behind": 3 * time.Hour, "we are ahead": -3 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.SetClock(func() time.Time { return time.Now().Add(skew) })
			res := w.chain(t, ecr.Options{}).Fetch(context.Background(), ecr.Request{Registry: registry(t, usEast)})
			if res.Err != nil || res.Identity != "profile" {
				t.Fatalf("%q serves, %v", res.Identity, res.Err)
			}
			if left := time.Until(res.Token.Expires); left < 12*time.Hour-time.Minute || left > 12*time.Hour+time.Minute {
				t.Errorf("by our clock the token lives for %s", left)
			}
		})
	}
}

func TestExpiredTokenIsNoToken(t *testing.T) {
	w := newWorld(t)
	w.SetTokenLife(-time.Hour)
	res := w.chain(t, ecr.Options{}).Fetch(context.Background(), ecr.Request{Registry: registry(t, usEast)})
	if !errors.Is(res.Err, ecr.Busy) {
		t.Errorf("%v", res.Err)
	}
}

func TestBothFail(t *testing.T) {
	w := newWorld(t)
	w.Inject(fakeaws.Fault{Point: fakeaws.ECR, KeyID: profileKey.ID, Status: 400, Code: "AccessDeniedException", Message: "not\nauthorized"})
	w.Inject(fakeaws.Fault{Point: fakeaws.ECR, KeyID: staticKey.ID, Status: 400, Code: "InvalidSignatureException",
		Message: "The Canonical String should have been static-secret-canary x-amz-security-token:" + staticKey.Secret})
	res := w.chain(t, ecr.Options{}).Fetch(context.Background(), ecr.Request{Registry: registry(t, usEast)})
	var failed *ecr.ChainError
	if !errors.As(res.Err, &failed) || len(failed.Errs) != 2 || !errors.Is(res.Err, ecr.Denied) || !errors.Is(res.Err, ecr.Rejected) {
		t.Fatalf("%v", res.Err)
	}
	text := res.Err.Error()
	if strings.Contains(text, "\n") || !strings.Contains(text, "instance profile: ") || !strings.Contains(text, "static keys: ") {
		t.Errorf("%q", text)
	}
	noCanary(t, text)
	if len(res.Learned) != 2 {
		t.Fatalf("learned %v", res.Learned)
	}
	for id, v := range res.Learned {
		if got := v.Until.Sub(v.At); got != 10*time.Second {
			t.Errorf("%s is remembered for %s though nothing serves", id, got)
		}
	}
	if n := w.Count(fakeaws.ECR, ""); n > 3 {
		t.Errorf("%d calls of ECR", n)
	}
}

// TestVerdictsOfAFailedChainLapseTogether: the profile fails at once and the static keys after a
// long wait. A process that waited for both must find both verdicts.
func TestVerdictsOfAFailedChainLapseTogether(t *testing.T) {
	w := newWorld(t)
	w.SetNotEC2(true)
	w.Inject(fakeaws.Fault{Point: fakeaws.ECR, Status: 400, Code: "AccessDeniedException"})
	var looks atomic.Int64 // each finds the clock four seconds further on
	begin := time.Now()
	clock := func() time.Time { return begin.Add(time.Duration(looks.Add(1)) * 4 * time.Second) }
	res := w.chain(t, ecr.Options{Now: clock}).Fetch(context.Background(), ecr.Request{Registry: registry(t, usEast)})
	end := begin.Add(time.Duration(looks.Load()) * 4 * time.Second)
	if res.Err == nil || len(res.Learned) != 2 {
		t.Fatalf("%v, learned %v", res.Err, res.Learned)
	}
	for id, v := range res.Learned {
		if !v.Holds(end) || !v.Until.Equal(end.Add(10*time.Second)) {
			t.Errorf("%s is remembered until %s after the chain failed, want %s", id, v.Until.Sub(end), 10*time.Second)
		}
	}
}

func TestKnownSourceIsPassedOver(t *testing.T) {
	w := newWorld(t)
	now := time.Now()
	known := map[string]ecr.Verdict{"profile": {Outcome: ecr.NoRole, Message: "as before", At: now.Add(-time.Minute), Until: now.Add(time.Minute)}}
	chain := w.chain(t, ecr.Options{})
	if res := chain.Fetch(context.Background(), ecr.Request{Registry: registry(t, usEast), Known: known}); res.Err != nil || res.Identity == "profile" {
		t.Errorf("%q serves, %v", res.Identity, res.Err)
	}
	if n := w.Count(fakeaws.MetadataToken, ""); n != 0 {
		t.Errorf("the metadata service was asked %d times", n)
	}
	// The control: an expired verdict, and one from the future.
	for _, v := range []ecr.Verdict{
		{Outcome: ecr.NoRole, At: now.Add(-time.Hour), Until: now.Add(-time.Minute)},
		{Outcome: ecr.NoRole, At: now.Add(time.Hour), Until: now.Add(2 * time.Hour)},
	} {
		known["profile"] = v
		if res := chain.Fetch(context.Background(), ecr.Request{Registry: registry(t, usEast), Known: known}); res.Identity != "profile" {
			t.Errorf("%+v: %q serves, %v", v, res.Identity, res.Err)
		}
	}
}

func TestTemporaryFailureOfAServingSourceStays(t *testing.T) {
	w := newWorld(t)
	ecrFault(fakeaws.Fault{Status: 500})(w)
	res := w.chain(t, ecr.Options{}).Fetch(context.Background(), ecr.Request{
		Registry: registry(t, usEast), Serving: map[string]bool{"profile": true}})
	if !errors.Is(res.Err, ecr.Busy) || w.Count(fakeaws.ECR, staticKey.ID) != 0 {
		t.Errorf("%v, %d calls with static keys", res.Err, w.Count(fakeaws.ECR, staticKey.ID))
	}
}

func TestHopLimitHint(t *testing.T) {
	w := newWorld(t)
	w.Inject(fakeaws.Fault{Point: fakeaws.MetadataToken, Hang: true})
	chain := w.chain(t, ecr.Options{})
	m := w.client.metadata()
	usual := m.times
	m.likeEC2, m.times = true, metadataTimes{first: 100 * time.Millisecond, later: 200 * time.Millisecond, onEC2: 300 * time.Millisecond}
	begin := time.Now()
	res := chain.Fetch(context.Background(), ecr.Request{Registry: registry(t, usEast)})
	if spent := time.Since(begin); spent < m.times.onEC2 {
		t.Errorf("gave up after %s", spent)
	}
	if v := res.Learned["profile"]; v.Outcome != ecr.HopLimit || !strings.Contains(v.Message, "hop limit") {
		t.Errorf("learned %+v", v)
	}
	if res.Err != nil {
		t.Error(res.Err)
	}
	// It recovers when the service answers.
	m.times.later = usual.later
	w.Heal()
	w.Inject(fakeaws.Fault{Point: fakeaws.MetadataToken, Hang: true, Times: 1})
	if res := chain.Fetch(context.Background(), ecr.Request{Registry: registry(t, usEast)}); res.Identity != "profile" {
		t.Errorf("%q serves, %v", res.Identity, res.Err)
	}
}

func TestProxy(t *testing.T) {
	w := newWorld(t)
	var hosts []string
	proxy, err := fakeProxy(t, func(host string) { hosts = append(hosts, host) })
	if err != nil {
		t.Fatal(err)
	}
	// Loopback is never proxied, so the endpoint gets a name.
	w.env[envECR] = "http://ecr.test"
	chain := w.proxied(t, ecr.Options{}, proxy)
	res := chain.Fetch(context.Background(), ecr.Request{Registry: registry(t, usEast), First: 1})
	if len(hosts) == 0 || hosts[0] != "ecr.test" {
		t.Errorf("the proxy was asked for %q, %v", hosts, res.Err)
	}
	if n := w.Count(fakeaws.MetadataToken, ""); n == 0 {
		t.Error("the metadata service was not asked directly")
	}
	noCanary(t, res.Err.Error(), "proxy-canary")
	if w.client.local.Transport.(bounded).RoundTripper.(*http.Transport).Proxy != nil {
		t.Error("the metadata service is asked through a proxy")
	}
	proxy.No = "ecr.test"
	hosts = nil
	w.proxied(t, ecr.Options{}, proxy).Fetch(context.Background(), ecr.Request{Registry: registry(t, usEast), First: 1, Hasty: true})
	if len(hosts) != 0 {
		t.Errorf("noProxy is ignored: %q", hosts)
	}
}
