//go:build e2e

package docker

import (
	"crypto/tls"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/berth-registry/berth/test/fakes/upstream"
	"github.com/berth-registry/berth/test/pki"
)

// TestProblems shows that the checks at the end of every scenario can fail.
func TestProblems(t *testing.T) {
	ca, err := pki.New("control")
	must(t, err)
	proxy, err := upstream.NewProxy(ca)
	must(t, err)
	t.Cleanup(func() { must(t, proxy.Close()) })
	s := &fixture{T: t, machine: &machine{proxy: proxy}, decoys: map[string]*decoy{}}
	s.behindProxy("quay.io", upstream.Status(http.StatusNotFound))
	noisy := s.behindProxy("ghcr.io", upstream.Status(http.StatusNotFound))
	realm := s.behindProxy("auth.io", upstream.Token("granted"))
	s.keep(robot, password)
	if found := s.problems(); len(found) > 0 {
		t.Fatalf("before anything happened: %q", found)
	}

	through, err := url.Parse(strings.TrimPrefix(proxy.Env()[0], "HTTP_PROXY="))
	must(t, err)
	client := &http.Client{Transport: &http.Transport{
		Proxy:           http.ProxyURL(through),
		TLSClientConfig: &tls.Config{RootCAs: ca.Pool()},
	}}
	t.Cleanup(client.CloseIdleConnections)
	do := func(request *http.Request, err error) error {
		must(t, err)
		request.SetBasicAuth(robot, "of another")
		if request.Host == "ghcr.io" {
			request.SetBasicAuth(robot, password)
		}
		if request.Method == http.MethodPost {
			request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		response, err := client.Do(request.WithContext(t.Context()))
		if err == nil {
			response.Body.Close()
		}
		return err
	}
	must(t, do(http.NewRequest(http.MethodGet, "https://ghcr.io/v2/", nil)))
	form := url.Values{"username": {robot}, "password": {password}}.Encode()
	must(t, do(http.NewRequest(http.MethodPost, "https://auth.io/token", strings.NewReader(form))))
	if do(http.NewRequest(http.MethodGet, "https://elsewhere.example/v2/", nil)) == nil {
		t.Error("a host without a decoy answered")
	}
	want := []string{
		"auth.io received the login of robot, which is not for it",
		"auth.io was asked, and must not be:\n\tPOST /token",
		"dockerd wanted to leave the machine: CONNECT elsewhere.example:443",
		"ghcr.io received the login of robot, which is not for it",
	}
	noisy.claimed = true
	got := s.problems()
	if slices.Sort(got); !slices.Equal(got, want) {
		t.Errorf("problems:\n%q\nwant\n%q", got, want)
	}

	// A decoy that the scenario names is no problem.
	realm.claimed, s.secrets[0].at = true, []*decoy{noisy, realm}
	if got := s.problems(); len(got) != 1 {
		t.Errorf("problems: %q, want the one about elsewhere.example", got)
	}
}
