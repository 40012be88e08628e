package move

import (
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
)

const hubPage = "../../docs/docker-hub-limit.md"

// member is the page's account at Docker Hub.
var member = login{"member", "of docker hub"}

const hubAuth = "auth.docker.io"

// dockerHub implements Docker Hub's limit: a token for a login or for an address, and for each a
// number of pulls; a GET of a manifest is one pull
// (https://docs.docker.com/docker-hub/usage/pulls/).
type dockerHub struct {
	inner http.Handler

	mu   sync.Mutex
	left map[string]int // by the address or the account that it counts
}

const hubAddress = "192.0.2.1"

func newDockerHub(inner http.Handler) *dockerHub {
	// Other machines with the same address have used all pulls.
	return &dockerHub{inner: inner, left: map[string]int{hubAddress: 0, member.name: 200}}
}

func (h *dockerHub) of(who string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.left[who]
}

func (h *dockerHub) token(w http.ResponseWriter, r *http.Request) {
	name, password, ok := r.BasicAuth()
	switch {
	case !ok:
		name = hubAddress
	case name != member.name || password != member.password:
		http.Error(w, `{"details":"incorrect username or password"}`, http.StatusUnauthorized)
		return
	}
	fmt.Fprintf(w, `{"token":"of-%s"}`, name)
}

func (h *dockerHub) registry(w http.ResponseWriter, r *http.Request) {
	who, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer of-")
	if !ok {
		w.Header().Set("WWW-Authenticate", `Bearer realm="https://`+hubAuth+`/token",service="registry.docker.io"`)
		http.Error(w, `{"errors":[{"code":"UNAUTHORIZED"}]}`, http.StatusUnauthorized)
		return
	}
	if strings.Contains(r.URL.Path, "/manifests/") {
		h.mu.Lock()
		left := h.left[who]
		refused := r.Method == http.MethodGet && left == 0
		if r.Method == http.MethodGet && left > 0 {
			h.left[who]--
		}
		left = h.left[who]
		h.mu.Unlock()
		total := map[string]int{hubAddress: 100, member.name: 200}[who]
		w.Header().Set("RateLimit-Limit", strconv.Itoa(total)+";w=21600")
		w.Header().Set("RateLimit-Remaining", strconv.Itoa(left)+";w=21600")
		w.Header().Set("Docker-RateLimit-Source", who)
		if refused {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusTooManyRequests)
			fmt.Fprint(w, `{"errors":[{"code":"TOOMANYREQUESTS","message":"You have reached your unauthenticated pull rate limit. https://www.docker.com/increase-rate-limit"}]}`)
			return
		}
	}
	h.inner.ServeHTTP(w, r)
}

// limited puts the limit in front of Docker Hub's registry.
func limited(handlers map[string]http.Handler) *dockerHub {
	h := newDockerHub(handlers[hub])
	handlers[hub] = http.HandlerFunc(h.registry)
	handlers[hubAuth] = http.HandlerFunc(h.token)
	return h
}

// TestHubPage runs the page from the error to the proof that it is gone.
func TestHubPage(t *testing.T) {
	var h *dockerHub
	w := newFixture(t, func(handlers map[string]http.Handler) { h = limited(handlers) })
	for name, content := range map[string]string{
		"hub-password": member.password, "node/etc/berth/secrets/docker-hub": member.password,
	} {
		if err := w.write(name, content); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(hubPage)
	if err != nil {
		t.Fatal(err)
	}
	steps, problems := w.walk(t.Context(), string(text))
	for _, s := range steps {
		t.Logf("%s(%s)\n%s%v", s.Text, s.Info, s.Printed, s.asked)
	}
	for _, p := range problems {
		t.Error(p)
	}
	if t.Failed() {
		return
	}
	// The page's proof is valid: with the network closed Docker Hub was not asked, and its count
	// did not change.
	last := steps[len(steps)-1]
	if !strings.Contains(last.Text, "--rate-limit") || h.of(member.name) >= 200 {
		t.Errorf("the last step is %q and %d of 200 pulls are left: was nothing copied with the login?", last.Text, h.of(member.name))
	}
	updates, traced := 0, 0 // the first update is the mirror, the second closes the network
	for _, s := range steps {
		updates += strings.Count(s.Printed, "update /etc/containerd/certs.d/docker.io")
		if updates < 2 || !strings.Contains(s.Text, "trace") {
			continue
		}
		traced++
		if s.asked[hub] > 0 || s.asked[corp] == 0 {
			t.Errorf("%sasked %v", s.Text, s.asked)
		}
	}
	if traced != 1 {
		t.Errorf("%d blocks trace after the way to Docker Hub was closed, want 1", traced)
	}
	for _, s := range steps {
		if strings.Contains(s.Printed, member.password) {
			t.Errorf("%sprinted the password", s.Text)
		}
	}
}
