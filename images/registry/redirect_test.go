package registry

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// The query of an address to which a registry or token service redirects may be a secret.
func TestRedirectIsNotRepeated(t *testing.T) {
	for _, to := range []string{"https://x.invalid/%zz?token=hunter2", "ftp://x.invalid/?token=hunter2", "/loop?token=hunter2"} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Location"] = []string{to}
			w.WriteHeader(http.StatusTemporaryRedirect)
		}))
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := server.Client().Do(request)
		if err == nil {
			resp.Body.Close()
			t.Fatalf("%s is followed", to)
		}
		if text := netErrorOf(t.Context(), "r.corp", err).Error(); strings.Contains(text, "hunter2") || !strings.HasPrefix(text, "r.corp: ") {
			t.Errorf("%s: %s", to, text)
		}
		server.Close()
	}
}
