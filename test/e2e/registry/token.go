package registry

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/berth-registry/berth/test/pki"
)

// TokenServer is a token server for docker-registry, by the specification of distribution
// (https://distribution.github.io/distribution/spec/auth/token/). It counts the logins that reach
// it.
type TokenServer struct {
	username, password string
	ca                 *pki.CA
	key                *ecdsa.PrivateKey
	certificate        string // in base64

	mu     sync.Mutex
	logins []string // the User-Agents of requests with a login
}

// The names in tokens.
const tokenService, tokenIssuer = "registry of the tests", "token server of the tests"

// NewTokenServer makes a token server that lets one login pull everything, and clients without a
// login nothing.
func NewTokenServer(username, password string) (*TokenServer, error) {
	ca, err := pki.New("authority of a token server")
	if err != nil {
		return nil, err
	}
	pair, err := ca.Server("issuer")
	if err != nil {
		return nil, err
	}
	keyBlock, _ := pem.Decode(pair.KeyPEM)
	certificate, _ := pem.Decode(pair.CertPEM)
	if keyBlock == nil || certificate == nil {
		return nil, errors.New("a certificate of package pki is not PEM")
	}
	key, err := x509.ParsePKCS8PrivateKey(keyBlock.Bytes)
	if err != nil {
		return nil, err
	}
	ec, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("the key is a %T", key)
	}
	return &TokenServer{
		username: username, password: password, ca: ca, key: ec,
		certificate: base64.StdEncoding.EncodeToString(certificate.Bytes),
	}, nil
}

// Logins are the User-Agents of the requests that carried a login, right or wrong, in a header or in
// a form.
func (t *TokenServer) Logins() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]string(nil), t.logins...)
}

// ServeHTTP issues a token.
func (t *TokenServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	username, password, login := r.BasicAuth()
	scopes := r.URL.Query()["scope"]
	if r.Method == http.MethodPost {
		username, password = r.PostFormValue("username"), r.PostFormValue("password")
		login = login || password != ""
		scopes = strings.Fields(r.PostFormValue("scope"))
	}
	if login || r.Header.Get("Authorization") != "" {
		t.mu.Lock()
		t.logins = append(t.logins, r.UserAgent())
		t.mu.Unlock()
		if username != t.username || password != t.password {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
	}
	if !login {
		scopes = nil
	}
	token, err := t.token(scopes...)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"token": token, "access_token": token, "expires_in": 300})
}

// token returns a signed token (RFC 7519) for scopes such as repository:team/app:pull.
func (t *TokenServer) token(scopes ...string) (string, error) {
	type access struct {
		Type    string   `json:"type"`
		Name    string   `json:"name"`
		Actions []string `json:"actions"`
	}
	granted := []access{}
	for _, scope := range scopes {
		kind, rest, _ := strings.Cut(scope, ":")
		name, actions, ok := strings.Cut(rest, ":")
		if !ok {
			return "", fmt.Errorf("scope %q", scope)
		}
		granted = append(granted, access{kind, name, strings.Split(actions, ",")})
	}
	now := time.Now()
	var parts []string
	for _, part := range []any{
		map[string]any{"typ": "JWT", "alg": "ES256", "x5c": []string{t.certificate}},
		map[string]any{
			"iss": tokenIssuer, "aud": tokenService, "sub": t.username, "jti": rand.Text(), "access": granted,
			"iat": now.Unix(), "nbf": now.Add(-time.Minute).Unix(), "exp": now.Add(time.Hour).Unix(),
		},
	} {
		raw, err := json.Marshal(part)
		if err != nil {
			return "", err
		}
		parts = append(parts, base64.RawURLEncoding.EncodeToString(raw))
	}
	signed := strings.Join(parts, ".")
	sum := sha256.Sum256([]byte(signed))
	r, s, err := ecdsa.Sign(rand.Reader, t.key, sum[:])
	if err != nil {
		return "", err
	}
	const half = 32 // bytes of a number of P-256
	signature := make([]byte, 2*half)
	r.FillBytes(signature[:half])
	s.FillBytes(signature[half:])
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature), nil
}

// authorized is a transport that sends a token for everything in the repository of the request.
type authorized struct {
	inner  http.RoundTripper
	tokens *TokenServer
}

func (a authorized) RoundTrip(r *http.Request) (*http.Response, error) {
	var scopes []string
	path := strings.TrimPrefix(r.URL.Path, "/v2/")
	for _, part := range []string{"/manifests/", "/blobs/", "/tags/"} {
		if name, _, ok := strings.Cut(path, part); ok {
			scopes = []string{"repository:" + name + ":pull,push"}
			break
		}
	}
	token, err := a.tokens.token(scopes...)
	if err != nil {
		return nil, err
	}
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+token)
	return a.inner.RoundTrip(r)
}
