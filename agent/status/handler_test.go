package status_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/berth-registry/berth/agent/status"
	"github.com/berth-registry/berth/agent/status/statustest"
)

// A request with a body is refused before anything is made for it: its place could not be given to
// another one when its client leaves.
func TestBodyIsRefused(t *testing.T) {
	h := status.Handler(func() status.Snapshot {
		t.Error("a snapshot was made")
		return status.Snapshot{}
	}, nil)
	for _, length := range []int64{1, 1 << 20, -1} {
		r := httptest.NewRequest(http.MethodGet, "/status", http.NoBody)
		r.ContentLength = length // -1: chunked
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != http.StatusRequestEntityTooLarge {
			t.Errorf("a body of %d bytes: %d", length, w.Code)
		}
	}
}

func TestRoutes(t *testing.T) {
	for _, c := range []struct {
		method, path string
		code         int
		kind, has    string
	}{
		{"GET", "/", 200, "text/html; charset=utf-8", "<!DOCTYPE html>"},
		{"GET", "/metrics", 200, "text/plain; version=0.0.4; charset=utf-8; escaping=underscores", "berth_build_info"},
		{"GET", "/status", 200, "application/json", `"phase": "converged"`},
		{"GET", "/readyz", 200, "text/plain; charset=utf-8", "ok"},
		{"GET", "/livez", 200, "text/plain; charset=utf-8", "ok"},
		{"GET", "/nothing", 404, "", ""},
		{"GET", "/metrics/x", 404, "", ""},
		{"GET", "/debug/pprof/", 404, "", ""},
		{"GET", "/favicon.ico", 404, "", ""},
		{"HEAD", "/", 200, "text/html; charset=utf-8", ""},
		{"HEAD", "/status", 200, "application/json", ""},
		{"HEAD", "/readyz", 200, "text/plain; charset=utf-8", ""},
		{"POST", "/", 405, "", ""},
		{"POST", "/metrics", 405, "", ""},
		{"PUT", "/status", 405, "", ""},
		{"DELETE", "/livez", 405, "", ""},
		{"OPTIONS", "/", 405, "", ""},
	} {
		resp, body := serve(t, statustest.Healthy(), c.method, c.path)
		if resp.StatusCode != c.code || !strings.Contains(body, c.has) {
			t.Errorf("%s %s: %d, want %d; has %q: %v", c.method, c.path, resp.StatusCode, c.code, c.has, strings.Contains(body, c.has))
		}
		if got := resp.Header.Get("Content-Type"); c.kind != "" && got != c.kind {
			t.Errorf("%s %s: type %q, want %q", c.method, c.path, got, c.kind)
		}
		if got := resp.Header.Get("Allow"); c.code == 405 && got != "GET, HEAD" {
			t.Errorf("%s %s: allows %q", c.method, c.path, got)
		}
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store",
		} {
			if got := resp.Header.Get(name); got != want {
				t.Errorf("%s %s: %s %q", c.method, c.path, name, got)
			}
		}
		if policy := resp.Header.Get("Content-Security-Policy"); !strings.HasPrefix(policy, "default-src 'none'; ") || strings.Contains(policy, "unsafe") {
			t.Errorf("%s %s: policy %q", c.method, c.path, policy)
		}
	}
}

// Over a socket: HEAD has no body, and many requests may share one snapshot.
func TestManyAtOnce(t *testing.T) {
	rich := statustest.Rich()
	server := httptest.NewServer(status.Handler(func() status.Snapshot { return rich }, func() error { return nil }))
	defer server.Close()
	defer server.Client().CloseIdleConnections()
	_, want := serve(t, statustest.Rich(), "GET", "/status")
	var group sync.WaitGroup
	for range 4 {
		for _, path := range []string{"/", "/metrics", "/status", "/readyz", "/livez"} {
			group.Go(func() {
				for range 2 {
					resp, err := server.Client().Get(server.URL + path)
					if err != nil {
						t.Error(err)
						return
					}
					resp.Body.Close()
				}
			})
		}
	}
	group.Wait()
	if _, got := serve(t, rich, "GET", "/status"); got != want {
		t.Error("the snapshot was changed by showing it")
	}
	resp, err := server.Client().Head(server.URL + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK || resp.ContentLength <= 0 {
		t.Errorf("HEAD: %s, length %d", resp.Status, resp.ContentLength)
	}
}

func TestHealth(t *testing.T) {
	stuck := errors.New("no turn of the loop for 2m\nsince 15:04")
	rich := statustest.Rich()
	for _, c := range []struct {
		name     string
		snapshot status.Snapshot
		live     func() error
		path     string
		code     int
		body     string
	}{
		{"ready", statustest.Healthy(), nil, "/readyz", 200, "ok"},
		{"ready, verbose", statustest.Healthy(), nil, "/readyz?verbose", 200, "[+]converged ok\nreadyz check passed\n"},
		{"not ready", rich, nil, "/readyz", 503, "[-]" + strings.Join(rich.Ready.Reasons, "\n[-]") + "\nreadyz check failed\n"},
		{"not ready without reasons", status.Snapshot{Phase: status.Converging}, nil, "/readyz", 503, "[-]converging\nreadyz check failed\n"},
		{"nothing known", status.Snapshot{}, nil, "/readyz", 503, "[-]starting\nreadyz check failed\n"},
		{"ready in spite of reasons", status.Snapshot{Ready: status.Readiness{Ready: true, Reasons: []string{"old"}}}, nil, "/readyz", 200, "ok"},
		{"alive", rich, func() error { return nil }, "/livez", 200, "ok"},
		{"alive, verbose", rich, func() error { return nil }, "/livez?verbose=1", 200, "[+]loop ok\nlivez check passed\n"},
		{"stuck", statustest.Healthy(), func() error { return stuck }, "/livez", 503, "[-]no turn of the loop for 2m\n   since 15:04\nlivez check failed\n"},
	} {
		h := status.Handler(func() status.Snapshot { return c.snapshot }, c.live)
		resp, body := ask(t, h, "GET", c.path, nil)
		if resp.StatusCode != c.code || body != c.body {
			t.Errorf("%s: %d %q, want %d %q", c.name, resp.StatusCode, body, c.code, c.body)
		}
	}
}

// Every answer calls get once.
func TestOneSnapshotPerAnswer(t *testing.T) {
	looks := 0
	h := status.Handler(func() status.Snapshot { looks++; return statustest.Rich() }, nil)
	for _, path := range []string{"/", "/metrics", "/status", "/readyz"} {
		looks = 0
		ask(t, h, "GET", path, nil)
		if looks != 1 {
			t.Errorf("%s: %d looks", path, looks)
		}
	}
}
