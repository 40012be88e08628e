package fakeaws

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

var key = Key{ID: "AKID", Secret: "secret", Session: "session"}

func start(t *testing.T) *Server {
	t.Helper()
	s, err := Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	s.AddKey(key)
	return s
}

// tokenRequest returns a request to ECR that is signed with key at a time.
func tokenRequest(t *testing.T, s *Server, key Key, at time.Time, service string) *http.Request {
	t.Helper()
	r, err := http.NewRequest(http.MethodPost, s.APIURL()+"/", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Amz-Target", targetECR)
	r.Header.Set("X-Amz-Date", at.UTC().Format("20060102T150405Z"))
	r.Header.Set("X-Amz-Security-Token", key.Session)
	resign(r, key, at, service)
	return r
}

func resign(r *http.Request, key Key, at time.Time, service string) {
	sig := signature{
		keyID: key.ID, date: at.UTC().Format("20060102"), region: "us-east-1", service: service,
		headers: []string{"host", "x-amz-date", "x-amz-security-token", "x-amz-target"},
	}
	r.Host = r.URL.Host
	hex := sign(key.Secret, sig, stringToSign(r, []byte("{}"), sig))
	r.Header.Set("Authorization", algorithm+" Credential="+strings.Join([]string{sig.keyID, sig.date, sig.region, sig.service, "aws4_request"}, "/")+
		", SignedHeaders="+strings.Join(sig.headers, ";")+", Signature="+hex)
}

func send(t *testing.T, r *http.Request) (int, string) {
	t.Helper()
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func TestSignatures(t *testing.T) {
	s := start(t)
	now := time.Now()
	s.AddKey(Key{ID: "OLD", Secret: "secret", Session: "session", Expires: now.Add(-time.Minute)})
	if status, body := send(t, tokenRequest(t, s, key, now, "ecr")); status != 200 {
		t.Fatalf("a good signature: %d %s", status, body)
	}
	for name, c := range map[string]struct {
		request func() *http.Request
		code    string
	}{
		"unsigned": {func() *http.Request {
			r := tokenRequest(t, s, key, now, "ecr")
			r.Header.Del("Authorization")
			return r
		}, "MissingAuthenticationTokenException"},
		"unknown key": {func() *http.Request {
			return tokenRequest(t, s, Key{ID: "X", Secret: "secret", Session: "session"}, now, "ecr")
		}, "UnrecognizedClientException"},
		"wrong secret": {func() *http.Request {
			return tokenRequest(t, s, Key{ID: "AKID", Secret: "x", Session: "session"}, now, "ecr")
		}, "InvalidSignatureException"},
		"wrong session": {func() *http.Request {
			return tokenRequest(t, s, Key{ID: "AKID", Secret: "secret", Session: "x"}, now, "ecr")
		}, "UnrecognizedClientException"},
		"expired key": {func() *http.Request {
			return tokenRequest(t, s, Key{ID: "OLD", Secret: "secret", Session: "session"}, now, "ecr")
		}, "ExpiredTokenException"},
		"wrong service": {func() *http.Request { return tokenRequest(t, s, key, now, "ecr-public") }, "InvalidSignatureException"},
		"too late":      {func() *http.Request { return tokenRequest(t, s, key, now.Add(-6*time.Minute), "ecr") }, "InvalidSignatureException"},
		"too early":     {func() *http.Request { return tokenRequest(t, s, key, now.Add(6*time.Minute), "ecr") }, "InvalidSignatureException"},
		"tampered body": {func() *http.Request {
			r := tokenRequest(t, s, key, now, "ecr")
			r.Body, r.ContentLength = io.NopCloser(strings.NewReader("[]")), 2
			return r
		}, "InvalidSignatureException"},
		"header not signed": {func() *http.Request {
			r := tokenRequest(t, s, key, now, "ecr")
			r.Header.Set("X-Amz-Extra", "x")
			return r
		}, "InvalidSignatureException"},
	} {
		if status, body := send(t, c.request()); status != 400 || !strings.Contains(body, c.code) {
			t.Errorf("%s: %d %s, want %s", name, status, body, c.code)
		}
	}
	if n := s.Count(ECR, "AKID"); n != 8 {
		t.Errorf("%d calls of AKID are counted, want 8", n)
	}
	if n := s.Count(ECR, ""); n != 11 {
		t.Errorf("%d calls are counted, want 11", n)
	}
}

func TestMetadataIsVersion2Only(t *testing.T) {
	s := start(t)
	s.SetRole("node", key)
	get := func(path, session string) (int, string) {
		r, err := http.NewRequest(http.MethodGet, s.MetadataURL()+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-aws-ec2-metadata-token", session)
		return send(t, r)
	}
	put := func(ttl string, header ...string) (int, string) {
		r, err := http.NewRequest(http.MethodPut, s.MetadataURL()+"/latest/api/token", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-aws-ec2-metadata-token-ttl-seconds", ttl)
		for _, h := range header {
			r.Header.Set(h, "10.0.0.1")
		}
		return send(t, r)
	}
	if status, _ := get(rolePath, ""); status != 401 || s.Count(MetadataV1, "") != 1 {
		t.Errorf("version 1: %d, counted %d", status, s.Count(MetadataV1, ""))
	}
	if status, _ := put(""); status != 400 {
		t.Errorf("without a life: %d", status)
	}
	if status, _ := put("60", "X-Forwarded-For"); status != 403 {
		t.Errorf("through a proxy: %d", status)
	}
	_, session := put("60")
	if status, role := get(rolePath, session); status != 200 || role != "node" {
		t.Errorf("%d %s", status, role)
	}
	_, body := get(rolePath+"node", session)
	var keys map[string]string
	if err := json.Unmarshal([]byte(body), &keys); err != nil || keys["SecretAccessKey"] != "secret" || keys["Token"] != "session" {
		t.Errorf("%v %s", err, body)
	}
	if status, _ := get(rolePath+"other", session); status != 404 {
		t.Errorf("another role: %d", status)
	}
	s.SetRole("", Key{})
	if status, _ := get(rolePath, session); status != 404 {
		t.Errorf("no role: %d", status)
	}
	if status, _ := get("/latest/dynamic/instance-identity/document", session); status != 200 {
		t.Errorf("document: %d", status)
	}
}

func TestFaults(t *testing.T) {
	s := start(t)
	request := func() *http.Request { return tokenRequest(t, s, key, time.Now(), "ecr") }
	s.Inject(Fault{Point: ECR, KeyID: "OTHER", Status: 500})
	s.Inject(Fault{Point: ECR, Times: 2, Status: 429, RetryAfter: 3 * time.Second})
	for range 2 {
		resp, err := http.DefaultTransport.RoundTrip(request())
		if err != nil || resp.StatusCode != 429 || resp.Header.Get("Retry-After") != "3" {
			t.Fatalf("%+v, %v", resp, err)
		}
		resp.Body.Close()
	}
	if status, _ := send(t, request()); status != 200 {
		t.Errorf("after the fault: %d", status)
	}
	s.Inject(Fault{Point: ECR, Times: 1, Drop: true})
	if resp, err := http.DefaultTransport.RoundTrip(request()); err == nil {
		t.Errorf("a dropped connection answers %d", resp.StatusCode)
	}
	s.Inject(Fault{Point: ECR, Times: 1, Hang: true})
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	if _, err := http.DefaultTransport.RoundTrip(request().WithContext(ctx)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a hanging server: %v", err)
	}
	s.Inject(Fault{Point: ECR, Times: 1, Huge: 10 << 20})
	if _, body := send(t, request()); len(body) < 10<<20 {
		t.Errorf("a huge answer has %d bytes", len(body))
	}
	s.Inject(Fault{Point: ECR, Times: 1, Drip: time.Millisecond})
	begin := time.Now()
	if _, body := send(t, request()); !strings.Contains(body, "authorizationToken") || time.Since(begin) < 100*time.Millisecond {
		t.Errorf("a dripping answer took %s: %s", time.Since(begin), body)
	}
	s.Inject(Fault{Point: ECR, Status: 500})
	s.Heal()
	s.SetTokenLife(-time.Hour)
	status, body := send(t, request())
	if status != 200 {
		t.Errorf("healed: %d", status)
	}
	var a struct {
		AuthorizationData []struct{ ExpiresAt float64 }
	}
	if err := json.Unmarshal([]byte(body), &a); err != nil || len(a.AuthorizationData) != 1 || a.AuthorizationData[0].ExpiresAt > float64(time.Now().Unix()) {
		t.Errorf("a token that should have expired: %v %s", err, body)
	}
}

func TestEnvLeadsHere(t *testing.T) {
	s := start(t)
	found := map[string]bool{}
	for _, e := range s.Env() {
		name, value, _ := strings.Cut(e, "=")
		found[name] = strings.HasPrefix(value, "http://127.0.0.1:")
	}
	for _, name := range []string{"AWS_EC2_METADATA_SERVICE_ENDPOINT", "AWS_ENDPOINT_URL_ECR", "AWS_ENDPOINT_URL_ECR_PUBLIC", "AWS_ENDPOINT_URL_STS"} {
		if !found[name] {
			t.Errorf("%s does not lead to the fake", name)
		}
	}
}
