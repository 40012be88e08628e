// Package ecrstandin is a registry that admits the same requests as ECR: those with a token that
// the fake AWS issued and that has not expired. It forwards them to a real registry.
//
// It refuses as ECR does: a request without a login with 401 and a challenge, an expired token with
// 403 and no challenge. After a 403, containerd asks the next host and logs nothing.
package ecrstandin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/berth-registry/berth/test/fakes/fakeaws"
)

// Issuer knows the tokens; [*fakeaws.Server] is one.
type Issuer interface {
	Token(password string) (fakeaws.Issued, bool)
}

// Verdict is the outcome of a request.
type Verdict string

// The verdicts.
const (
	LetIn   Verdict = "let in"
	NoLogin Verdict = "without a login"
	Expired Verdict = "with an expired token"
	Foreign Verdict = "with a login that is no token of ours"
	Denied  Verdict = "with a token whose owner may not"
)

// Request is one request with its verdict.
type Request struct {
	At      time.Time
	Method  string
	Path    string
	Agent   string // User-Agent
	Token   string // the password, "" for none
	Verdict Verdict
}

// String returns the request and its verdict, without the token.
func (r Request) String() string {
	return fmt.Sprintf("%s %s by %s %s", r.Method, r.Path, r.Agent, r.Verdict)
}

// ByContainerd reports whether containerd made the request.
func (r Request) ByContainerd() bool { return strings.HasPrefix(r.Agent, "containerd/") }

// Registry is a running server.
type Registry struct {
	issuer  Issuer
	addr    string
	backend *httputil.ReverseProxy
	server  *http.Server
	done    chan struct{}

	mu       sync.Mutex
	requests []Request
	policy   func(keyID, path string) bool // nil: every owner of a token may everything
}

// SetPolicy makes it refuse requests whose token was issued for a key that may not read the path.
func (r *Registry) SetPolicy(may func(keyID, path string) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.policy = may
}

// Start serves plain http on a free port of 127.0.0.1 and forwards to the registry at the URL
// backend. The caller must call Close.
func Start(issuer Issuer, backend string) (*Registry, error) {
	to, err := url.Parse(backend)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &Registry{issuer: issuer, addr: l.Addr().String(), done: make(chan struct{})}
	quiet := log.New(io.Discard, "", 0) // a client that disconnects is not an error
	r.backend = &httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) {
			p.SetURL(to)
			p.Out.Header.Del("Authorization") // it was for us
		},
		ErrorLog: quiet,
	}
	r.server = &http.Server{Handler: r, ErrorLog: quiet}
	go func() {
		defer close(r.done)
		_ = r.server.Serve(l) // after Close its error says nothing
	}()
	return r, nil
}

// Addr returns host:port, the name under which a RegistryConfig lists it.
func (r *Registry) Addr() string { return r.addr }

// Requests returns the requests so far, oldest first.
func (r *Registry) Requests() []Request {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.requests)
}

// Close stops it and drops its connections.
func (r *Registry) Close() error {
	err := r.server.Close()
	<-r.done
	if errors.Is(err, context.Canceled) || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// ServeHTTP checks, records and answers a request.
func (r *Registry) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	judged := r.judge(request)
	r.mu.Lock()
	r.requests = append(r.requests, judged)
	r.mu.Unlock()
	switch judged.Verdict {
	case LetIn:
		r.backend.ServeHTTP(w, request)
	case NoLogin:
		w.Header().Set("Www-Authenticate", fmt.Sprintf(`Basic realm="http://%s/",service="ecr.amazonaws.com"`, r.addr))
		http.Error(w, "Not Authorized", http.StatusUnauthorized)
	case Expired:
		refuse(w, "Your authorization token has expired. Reauthenticate and try again.")
	case Denied:
		refuse(w, "User is not authorized to perform: ecr:BatchGetImage")
	default:
		refuse(w, "Your authorization token is invalid.")
	}
}

func (r *Registry) judge(request *http.Request) Request {
	judged := Request{
		At: time.Now(), Method: request.Method, Path: request.URL.Path, Agent: request.UserAgent(), Verdict: NoLogin,
	}
	if request.Header.Get("Authorization") == "" {
		return judged
	}
	username, password, _ := request.BasicAuth()
	issued, ok := r.issuer.Token(password)
	if !ok || username != "AWS" || issued.Service != fakeaws.ECR {
		judged.Verdict = Foreign
		return judged
	}
	judged.Token, judged.Verdict = password, LetIn
	r.mu.Lock()
	may := r.policy
	r.mu.Unlock()
	switch {
	case !judged.At.Before(issued.Expires):
		judged.Verdict = Expired
	case may != nil && request.URL.Path != "/v2/" && !may(issued.KeyID, request.URL.Path):
		judged.Verdict = Denied
	}
	return judged
}

func refuse(w http.ResponseWriter, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusForbidden)
	fmt.Fprintf(w, `{"errors":[{"code":"DENIED","message":%q}]}`, message)
}
