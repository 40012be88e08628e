package fakeaws

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"sort"
	"strings"
	"time"
)

// signature is a parsed Authorization header of Signature Version 4:
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
type signature struct {
	keyID, date, region, service string
	headers                      []string // lower case
	hex                          string
}

const algorithm = "AWS4-HMAC-SHA256"

func parseSignature(h http.Header) (signature, error) {
	rest, ok := strings.CutPrefix(h.Get("Authorization"), algorithm+" ")
	if !ok {
		return signature{}, errors.New("the request is not signed")
	}
	fields := map[string]string{}
	for f := range strings.SplitSeq(rest, ",") {
		k, v, _ := strings.Cut(strings.TrimSpace(f), "=")
		fields[k] = v
	}
	scope := strings.Split(fields["Credential"], "/")
	if len(scope) != 5 || scope[4] != "aws4_request" {
		return signature{}, errors.New("the credential scope is malformed")
	}
	return signature{
		keyID: scope[0], date: scope[1], region: scope[2], service: scope[3],
		headers: strings.Split(fields["SignedHeaders"], ";"),
		hex:     fields["Signature"],
	}, nil
}

// verify checks the signature as AWS does. It returns AWS's error code and message, or "".
func (s *Server) verify(r *http.Request, body []byte, sig signature, p Point) (code, message string) {
	s.mu.Lock()
	key, known := s.keys[sig.keyID]
	now := s.now()
	s.mu.Unlock()

	at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	switch {
	case !known && p.isSTS():
		return "InvalidClientTokenId", "The security token included in the request is invalid."
	case !known:
		return "UnrecognizedClientException", "The security token included in the request is invalid."
	case err != nil || at.Format("20060102") != sig.date:
		return "IncompleteSignatureException", "the date is malformed"
	case now.Sub(at).Abs() > 5*time.Minute:
		return badSignature(p), fmt.Sprintf("Signature expired: %s is not within 5 minutes of %s", at, now)
	case key.Session != "" && r.Header.Get("X-Amz-Security-Token") != key.Session:
		return "UnrecognizedClientException", "The security token included in the request is invalid."
	case !key.Expires.IsZero() && now.After(key.Expires):
		return "ExpiredTokenException", "The security token included in the request is expired"
	case sig.service != p.service():
		return badSignature(p), fmt.Sprintf("Credential should be scoped to correct service: %q.", p.service())
	}
	for _, h := range requiredHeaders(r) {
		if !contains(sig.headers, h) {
			return badSignature(p), "the header " + h + " must be signed"
		}
	}
	want := sign(key.Secret, sig, stringToSign(r, body, sig))
	if subtle.ConstantTimeCompare([]byte(want), []byte(sig.hex)) != 1 {
		return badSignature(p), "The request signature we calculated does not match the signature you provided."
	}
	return "", ""
}

func (p Point) isSTS() bool { return p == STS || p == WebIdentity || p == CallerIdentity }

// service returns the name that signatures have.
func (p Point) service() string {
	if p.isSTS() {
		return string(STS)
	}
	return string(p)
}

func badSignature(p Point) string {
	if p.isSTS() {
		return "SignatureDoesNotMatch"
	}
	return "InvalidSignatureException"
}

// requiredHeaders returns the headers that must be signed: host and all that begin with x-amz.
func requiredHeaders(r *http.Request) []string {
	need := []string{"host"}
	for name := range r.Header {
		if lower := strings.ToLower(name); strings.HasPrefix(lower, "x-amz-") {
			need = append(need, lower)
		}
	}
	return need
}

func contains(list []string, s string) bool {
	for _, e := range list {
		if e == s {
			return true
		}
	}
	return false
}

func stringToSign(r *http.Request, body []byte, sig signature) string {
	var c strings.Builder
	path := r.URL.EscapedPath()
	if path == "" {
		path = "/"
	}
	fmt.Fprintf(&c, "%s\n%s\n%s\n", r.Method, path, canonicalQuery(r))
	for _, h := range sig.headers {
		fmt.Fprintf(&c, "%s:%s\n", h, headerValue(r, h))
	}
	fmt.Fprintf(&c, "\n%s\n%s", strings.Join(sig.headers, ";"), hash(body))
	scope := strings.Join([]string{sig.date, sig.region, sig.service, "aws4_request"}, "/")
	return strings.Join([]string{algorithm, r.Header.Get("X-Amz-Date"), scope, hash([]byte(c.String()))}, "\n")
}

func canonicalQuery(r *http.Request) string {
	pairs := strings.Split(r.URL.RawQuery, "&")
	sort.Strings(pairs)
	return strings.Join(pairs, "&")
}

func headerValue(r *http.Request, name string) string {
	switch name {
	case "host":
		return r.Host
	case "content-length":
		return fmt.Sprint(r.ContentLength)
	}
	var values []string
	for _, v := range r.Header.Values(name) {
		values = append(values, strings.Join(strings.Fields(v), " "))
	}
	return strings.Join(values, ",")
}

func sign(secret string, sig signature, text string) string {
	k := mac([]byte("AWS4"+secret), sig.date)
	for _, part := range []string{sig.region, sig.service, "aws4_request"} {
		k = mac(k, part)
	}
	return hex.EncodeToString(mac(k, text))
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

func hash(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
