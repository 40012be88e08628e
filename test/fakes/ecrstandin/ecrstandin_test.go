package ecrstandin

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/berth-registry/berth/test/fakes/fakeaws"
)

// issued is an issuer with a few tokens.
type issued map[string]fakeaws.Issued

func (i issued) Token(password string) (fakeaws.Issued, bool) {
	t, ok := i[password]
	return t, ok
}

func TestVerdicts(t *testing.T) {
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			t.Error("the registry behind saw the login")
		}
		_, _ = io.WriteString(w, r.URL.RequestURI())
	}))
	t.Cleanup(backend.Close)
	r, err := Start(issued{
		"fresh":  {Service: fakeaws.ECR, Expires: time.Now().Add(time.Hour)},
		"stale":  {Service: fakeaws.ECR, Expires: time.Now().Add(-time.Millisecond)},
		"public": {Service: fakeaws.ECRPublic, Expires: time.Now().Add(time.Hour)},
	}, backend.URL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})

	for _, row := range []struct {
		username, password string
		status             int
		challenged         bool
		body               string
		verdict            Verdict
	}{
		{"AWS", "fresh", 200, false, "/v2/hub/app/manifests/v1?ns=docker.io", LetIn},
		{"", "", 401, true, "Not Authorized", NoLogin},
		{"AWS", "stale", 403, false, "has expired", Expired},
		{"AWS", "invented", 403, false, "invalid", Foreign},
		{"robot", "fresh", 403, false, "invalid", Foreign},
		{"AWS", "public", 403, false, "invalid", Foreign},
	} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+r.Addr()+"/v2/hub/app/manifests/v1?ns=docker.io", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("User-Agent", "containerd/2")
		if row.username != "" {
			request.SetBasicAuth(row.username, row.password)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		challenge := response.Header.Get("Www-Authenticate")
		if response.StatusCode != row.status || strings.HasPrefix(challenge, "Basic ") != row.challenged || !strings.Contains(string(body), row.body) {
			t.Errorf("%s:%s: %d, challenge %q, %q", row.username, row.password, response.StatusCode, challenge, body)
		}
		all := r.Requests()
		last := all[len(all)-1]
		if last.Verdict != row.verdict || !last.ByContainerd() || strings.Contains(last.String(), "fresh") {
			t.Errorf("%s:%s: recorded %s", row.username, row.password, last)
		}
	}
}
