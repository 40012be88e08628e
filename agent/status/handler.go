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

// Handler serves:
//
//	/         a page for people; ?refresh=5, 30 or 300 makes it reload itself
//	/metrics  for Prometheus
//	/status   the snapshot as JSON
//	/readyz   200 if the node is as the config wants it, else 503 and the reasons
//	/livez    200 if live returns nil, else 503 and the error
//
// Other paths get 404, other methods than GET and HEAD 405, a request with a body 413. get returns the current snapshot; it is
// called once per request, by several goroutines at the same time. live may be nil.
//
// The number of large answers made at the same time is limited, so that clients that do not read
// them cannot fill the memory. /readyz and /livez never wait for large answers.
func Handler(get func() Snapshot, live func() error) http.Handler {
	c := newCleaner()
	tidy := func() Snapshot { return c.tidy(get()) }
	large := newRequestLimit(maxLarge)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", large.wrap(newPage(tidy)))
	mux.HandleFunc("GET /metrics", large.wrap(metricsHandler(tidy)))
	mux.HandleFunc("GET /status", large.wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
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
		answerCheck(w, r, "readyz", "converged", reasons)
	})
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, r *http.Request) {
		var reasons []string
		if live != nil {
			if err := live(); err != nil {
				reasons = []string{c.text(err.Error())}
			}
		}
		answerCheck(w, r, "livez", "loop", reasons)
	})
	return securityHeaders(withoutBody(mux))
}

// withoutBody refuses requests with a body. While a body is not read, [net/http] does not notice that
// the client has left, so the request would wait for its turn in a [requestLimit].
func withoutBody(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength != 0 {
			http.Error(w, "a request has no body here", http.StatusRequestEntityTooLarge)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// maxLarge limits how many pages, metrics and snapshots are in memory at the same time.
const maxLarge = 4

// requestLimit lets a limited number of requests in; others wait until their client leaves.
type requestLimit chan struct{}

func newRequestLimit(n int) requestLimit { return make(requestLimit, n) }

func (g requestLimit) wrap(next http.Handler) http.HandlerFunc {
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
	_, _ = w.Write(body) // it fails if the client has left
}

// answerCheck answers in the format of the Kubernetes health endpoints.
func answerCheck(w http.ResponseWriter, r *http.Request, endpoint, check string, reasons []string) {
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

// securityHeaders adds the headers that forbid a browser to do anything with an answer but show it.
func securityHeaders(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy",
			"default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

// ErrNotSnapshot is returned if the bytes are not the output of /status.
var ErrNotSnapshot = errors.New("not the status of an agent")

// Decode parses the output of /status, also of another version, whose alarms it keeps. Text from
// another process is made safe to show.
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
