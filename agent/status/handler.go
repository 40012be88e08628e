package status

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// Handler serves what an operator and a cluster ask:
//
//	/         a page for people; ?refresh=5, 30 or 300 makes it reload itself
//	/metrics  for Prometheus
//	/status   the snapshot as JSON
//	/readyz   200 when the node is as the config wants it, else 503 and why
//	/livez    200 when live gives nil, else 503 and its error
//
// Anything else is 404, and other methods than GET and HEAD are 405. get gives
// the snapshot of this moment; it is called once for each request, by several
// goroutines at once. live may be nil.
//
// Few of the large answers are made at once, so that clients that do not read
// them cannot fill the memory; the two checks never wait for those.
func Handler(get func() Snapshot, live func() error) http.Handler {
	c := newCleaner()
	tidy := func() Snapshot { return c.tidy(get()) }
	large := newGate(maxLarge)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", large.in(newPage(tidy)))
	mux.HandleFunc("GET /metrics", large.in(metricsHandler(tidy)))
	mux.HandleFunc("GET /status", large.in(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		var body bytes.Buffer
		e := json.NewEncoder(&body)
		e.SetIndent("", "  ")
		if err := e.Encode(tidy()); err != nil {
			http.Error(w, fmt.Sprintf("status: %v", err), http.StatusInternalServerError)
			return
		}
		send(w, "application/json", body.Bytes())
	})))
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		s := tidy()
		reasons := s.Ready.Reasons
		if !s.Ready.Ready && len(reasons) == 0 {
			reasons = []string{string(cmp.Or(s.Phase, Starting))}
		}
		if s.Ready.Ready {
			reasons = nil
		}
		answer(w, r, "readyz", "converged", reasons)
	})
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, r *http.Request) {
		var reasons []string
		if live != nil {
			if err := live(); err != nil {
				reasons = []string{c.text(err.Error())}
			}
		}
		answer(w, r, "livez", "loop", reasons)
	})
	return guarded(mux)
}

// maxLarge is how many pages, metrics and snapshots are in memory at once.
const maxLarge = 4

// gate lets some requests in at once; others wait until their client goes.
type gate chan struct{}

func newGate(n int) gate { return make(gate, n) }

func (g gate) in(next http.Handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		select {
		case g <- struct{}{}:
			defer func() { <-g }()
			next.ServeHTTP(w, r)
		case <-r.Context().Done():
		}
	}
}

// send writes a whole body.
func send(w http.ResponseWriter, kind string, body []byte) {
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body) // it fails when the client has gone
}

// answer speaks as the health endpoints of Kubernetes do.
func answer(w http.ResponseWriter, r *http.Request, endpoint, check string, reasons []string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if len(reasons) > 0 {
		w.WriteHeader(http.StatusServiceUnavailable)
		for _, reason := range reasons {
			fmt.Fprintf(w, "[-]%s\n", strings.ReplaceAll(strings.TrimSpace(reason), "\n", "\n   "))
		}
		fmt.Fprintf(w, "%s check failed\n", endpoint)
		return
	}
	if r.URL.Query().Has("verbose") {
		fmt.Fprintf(w, "[+]%s ok\n%s check passed\n", check, endpoint)
		return
	}
	fmt.Fprint(w, "ok")
}

// guarded adds the headers that keep a browser from doing anything with an
// answer but showing it.
func guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

// ErrNotSnapshot says that bytes are not what /status gives.
var ErrNotSnapshot = errors.New("not the status of an agent")

// Decode reads what /status gives, also that of another version, whose alarms
// are kept as they are. What came from another process is made safe to show.
func Decode(body []byte) (Snapshot, error) {
	var s Snapshot
	if err := json.Unmarshal(body, &s); err != nil {
		return Snapshot{}, fmt.Errorf("%w: %w", ErrNotSnapshot, err)
	}
	if s.Phase == "" && s.Time.IsZero() {
		return Snapshot{}, fmt.Errorf("%w: it has neither a phase nor a time", ErrNotSnapshot)
	}
	return newCleaner().clean(s), nil
}
