package e2e

import (
	"crypto/tls"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/berth-registry/berth/test/fakes/upstream"
	"github.com/berth-registry/berth/test/pki"
)

// TestProblems shows that the checks at the end of every scenario can fail.
func TestProblems(t *testing.T) {
	ca, err := pki.New("control")
	if err != nil {
		t.Fatal(err)
	}
	proxy, err := upstream.NewProxy(ca)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { must(t, proxy.Close()) })
	s := &fixture{T: t, daemonFixture: &daemonFixture{proxy: proxy}, decoys: map[string]*upstream.Decoy{}, claimed: map[*upstream.Decoy]bool{}}
	quiet := s.behindProxy("quay.io", upstream.Status(http.StatusNotFound))
	noisy := s.behindProxy("ghcr.io", upstream.Status(http.StatusNotFound))
	s.keepSecret("robot", "correct horse", nil)
	if found := s.problems(); len(found) > 0 {
		t.Fatalf("before anything happened: %q", found)
	}

	through, err := url.Parse(strings.TrimPrefix(proxy.Env()[0], "HTTP_PROXY="))
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{
		Proxy:           http.ProxyURL(through),
		TLSClientConfig: &tls.Config{RootCAs: ca.Pool()},
	}}
	t.Cleanup(client.CloseIdleConnections)
	get := func(url, username, password string) error {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.SetBasicAuth(username, password)
		response, err := client.Do(request)
		if err == nil {
			response.Body.Close()
		}
		return err
	}
	if err := get("https://ghcr.io/v2/", "robot", "correct horse"); err != nil {
		t.Fatal(err)
	}
	if err := get("https://elsewhere.example/v2/", "", ""); err == nil {
		t.Error("a host without a decoy answered")
	}
	want := []string{
		"ghcr.io was asked, and must not be:\n\tGET /v2/",
		"ghcr.io received a login that is not for it, with GET /v2/",
		"containerd wanted to leave the machine: CONNECT elsewhere.example:443",
	}
	if got := s.problems(); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("problems:\n%q\nwant\n%q", got, want)
	}

	// A decoy that the scenario names is no problem.
	s.claimed[noisy] = true
	s.secrets[0].at = noisy
	if got := s.problems(); len(got) != 1 {
		t.Errorf("problems: %q, want the one about elsewhere.example", got)
	}
	if got := quiet.Requests(); len(got) > 0 {
		t.Errorf("quay.io was asked %q", got)
	}
}
