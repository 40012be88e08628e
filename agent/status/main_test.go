package status_test

import (
	"flag"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"go.uber.org/goleak"

	"github.com/berth-registry/berth/agent/status"
	"github.com/berth-registry/berth/agent/status/statustest"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// snapshots are the ones that tests show in every form.
func snapshots() map[string]status.Snapshot {
	return map[string]status.Snapshot{
		"empty": {}, "healthy": statustest.Healthy(), "rich": statustest.Rich(),
		"hostile": statustest.Hostile(), "large": statustest.Large(100), "waiting": statustest.Waiting(),
	}
}

// serve answers one request.
func serve(t testing.TB, s status.Snapshot, method, path string) (*http.Response, string) {
	t.Helper()
	return ask(t, status.Handler(func() status.Snapshot { return s }, nil), method, path, nil)
}

func ask(t testing.TB, h http.Handler, method, path string, header http.Header) (*http.Response, string) {
	t.Helper()
	w := httptest.NewRecorder()
	r := httptest.NewRequestWithContext(t.Context(), method, path, nil)
	for k, v := range header {
		r.Header[k] = v
	}
	h.ServeHTTP(w, r)
	resp := w.Result()
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}
