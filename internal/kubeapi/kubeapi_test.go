package kubeapi

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/berth-registry/berth/test/fakes/fakekube"
	"github.com/berth-registry/berth/test/pki"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// thing is an object of which only the name counts.
type thing struct {
	Metadata struct{ Name, ResourceVersion string }
}

func (o thing) Identity() (key, version string) { return o.Metadata.Name, o.Metadata.ResourceVersion }

// withServer runs a test in a bubble of testing/synctest, with a server and a client for it.
func withServer(t *testing.T, run func(t *testing.T, dir string, s *fakekube.Server, api *Client)) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s, err := fakekube.Start(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		api, err := New(s.Address(), dir, s.Dial)
		if err != nil {
			t.Fatal(err)
		}
		defer api.Close()
		run(t, dir, s, api)
	})
}

func put(s *fakekube.Server, name string) {
	s.Change("nodes/"+name, func(fakekube.Object) fakekube.Object { return fakekube.Object{} })
}

// After each fault the cache has all objects again, and lists again only where it must.
func TestCache(t *testing.T) {
	for name, c := range map[string]struct {
		method string // of the requests that fail, three times
		fault  fakekube.Fault
		lists  int // how many lists there are at most
	}{
		"none":               {"", fakekube.None, 3},
		"list dropped":       {"GET", fakekube.Dropped, 6},
		"list lost":          {"GET", fakekube.Lost, 6},
		"list refused":       {"GET", fakekube.TooMany, 6},
		"list broken":        {"GET", fakekube.Broken, 6},
		"page expired":       {"GET", fakekube.Gone, 6},
		"watch dropped":      {"WATCH", fakekube.Dropped, 3},
		"watch cut":          {"WATCH", fakekube.Cut, 3},
		"watch refused":      {"WATCH", fakekube.TooMany, 3},
		"watch broken":       {"WATCH", fakekube.Broken, 3},
		"watch slow":         {"WATCH", fakekube.Slow, 3},
		"watch from too old": {"WATCH", fakekube.Gone, 12},
		"watch expired":      {"WATCH", fakekube.Expired, 12},
	} {
		t.Run(name, func(t *testing.T) {
			withServer(t, func(t *testing.T, dir string, s *fakekube.Server, api *Client) {
				var want []string
				for i := range 2*pageSize + 5 { // three pages
					want = append(want, fmt.Sprintf("a-%03d", i))
					put(s, want[i])
				}
				var mu sync.Mutex
				left := 3
				s.SetFaults(func(r *http.Request) fakekube.Fault {
					mu.Lock()
					defer mu.Unlock()
					method := r.Method
					if r.URL.Query().Get("watch") != "" {
						method = "WATCH"
					}
					if method != c.method || left == 0 {
						return fakekube.None
					}
					left--
					return c.fault
				})
				cache := &Cache[thing]{Client: api, Path: "/api/v1/nodes", Log: slog.New(slog.DiscardHandler), Changed: func() {}, Failed: func() {}}
				ctx, cancel := context.WithCancel(t.Context())
				var running sync.WaitGroup
				running.Go(func() { cache.Run(ctx) })
				time.Sleep(time.Minute)
				put(s, "b")
				s.Change("nodes/a-000", func(fakekube.Object) fakekube.Object { return nil })
				want = append(want[1:], "b")
				time.Sleep(11 * time.Minute) // the watch ends twice
				items, synced := cache.Items()
				var got []string
				for _, o := range items {
					got = append(got, o.Metadata.Name)
				}
				if !synced || !slices.Equal(got, want) {
					t.Errorf("%d objects, want %d", len(got), len(want))
				}
				if n := s.Count("GET", "nodes"); n > c.lists {
					t.Errorf("%d requests for lists, want at most %d", n, c.lists)
				}
				if left > 0 && c.method != "" {
					t.Errorf("%d faults did not happen", left)
				}
				cancel()
				running.Wait()
			})
		})
	}
}

// A watch that cannot go on, because the API server has forgotten the changes since, is a new list.
func TestCompaction(t *testing.T) {
	withServer(t, func(t *testing.T, dir string, s *fakekube.Server, api *Client) {
		put(s, "a")
		cache := &Cache[thing]{Client: api, Path: "/api/v1/nodes", Log: slog.New(slog.DiscardHandler), Changed: func() {}, Failed: func() {}}
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { cache.Run(ctx) })
		time.Sleep(time.Second)
		s.Disconnect()
		put(s, "b")
		s.Compact()
		time.Sleep(time.Minute)
		if items, _ := cache.Items(); len(items) != 2 || s.Count("GET", "nodes") != 2 {
			t.Errorf("%d objects after %d lists, want 2 and 2", len(items), s.Count("GET", "nodes"))
		}
		cancel()
		running.Wait()
	})
}

// kubelet replaces the token; a refused one is an error that does not hold it.
func TestToken(t *testing.T) {
	withServer(t, func(t *testing.T, dir string, s *fakekube.Server, api *Client) {
		put(s, "n")
		var o thing
		for range 3 {
			if err := api.Get(t.Context(), "/api/v1/nodes/n", &o); err != nil || o.Metadata.Name != "n" {
				t.Fatalf("%+v, %v", o, err)
			}
			if err := s.Rotate(); err != nil {
				t.Fatal(err)
			}
		}
		const stale = "stale-canary"
		if err := os.WriteFile(filepath.Join(dir, "token"), []byte(stale), 0o600); err != nil {
			t.Fatal(err)
		}
		err := api.Get(t.Context(), "/api/v1/nodes/n", &o)
		if !HasCode(err, http.StatusUnauthorized) || strings.Contains(err.Error(), stale) {
			t.Errorf("%v", err)
		}
	})
}

// The files of a service account that has been removed, or is not there, are named.
func TestNewRefuses(t *testing.T) {
	for missing, want := range map[string]string{"token": "automountServiceAccountToken", "ca.crt": "ca.crt"} {
		dir := t.TempDir()
		for _, name := range []string{"token", "ca.crt"} {
			if name != missing {
				if err := os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
		if _, err := New("127.0.0.1:443", dir, (&net.Dialer{}).DialContext); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("without %s: %v", missing, err)
		}
	}
}

// When the cluster gets another certificate authority, the next request after a failure trusts it.
func TestOtherAuthority(t *testing.T) {
	withServer(t, func(t *testing.T, dir string, s *fakekube.Server, api *Client) {
		put(s, "n")
		good, err := os.ReadFile(filepath.Join(dir, "ca.crt"))
		if err != nil {
			t.Fatal(err)
		}
		other, err := pki.New("another one")
		if err != nil {
			t.Fatal(err)
		}
		write := func(ca []byte) {
			if err := os.WriteFile(filepath.Join(dir, "ca.crt"), ca, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		write(other.PEM())
		if err := api.trust(); err != nil {
			t.Fatal(err)
		}
		var o thing
		if err := api.Get(t.Context(), "/api/v1/nodes/n", &o); err == nil || !strings.Contains(err.Error(), "certificate") {
			t.Fatalf("another authority: %v", err)
		}
		write(good)
		_ = api.Get(t.Context(), "/api/v1/nodes/n", &o) // it fails, and the file is read again
		if err := api.Get(t.Context(), "/api/v1/nodes/n", &o); err != nil {
			t.Error(err)
		}
	})
}

func TestPause(t *testing.T) {
	for failures, whole := range map[int]time.Duration{1: time.Second, 2: 2 * time.Second, 5: 16 * time.Second, 6: 30 * time.Second, 1000: 30 * time.Second} {
		for range 100 {
			if p := Pause(failures, os.ErrClosed); p < whole/2 || p > whole {
				t.Fatalf("after %d failures %s, want %s to %s", failures, p, whole/2, whole)
			}
		}
	}
	for asked, want := range map[time.Duration]time.Duration{7 * time.Second: 7 * time.Second, time.Hour: time.Minute} {
		if p := Pause(1, fmt.Errorf("x: %w", &StatusError{Code: 429, RetryAfter: asked})); p != want {
			t.Errorf("asked for %s: %s", asked, p)
		}
	}
}

// Now is the time of the server's clock.
func TestNow(t *testing.T) {
	withServer(t, func(t *testing.T, dir string, s *fakekube.Server, api *Client) {
		api.ahead.Store(int64(time.Hour))
		_ = api.Get(t.Context(), "/api/v1/nodes/none", nil)
		if off := time.Until(api.Now()); off < -time.Second || off > 0 {
			t.Errorf("off by %s", off)
		}
	})
}
