package health

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/berth-registry/berth/internal/dockerhublimit"
	"github.com/berth-registry/berth/internal/redact"
)

// findSecrets looks for secrets, and for their other spellings, in text that people see.
func findSecrets(text string, secrets ...string) []string {
	var found []string
	for _, s := range secrets {
		for _, spelling := range []string{s, base64.StdEncoding.EncodeToString([]byte(s)), strings.ToLower(s)} {
			if strings.Contains(text, spelling) {
				found = append(found, spelling)
			}
		}
	}
	return found
}

// The registries, the proxy and the Docker Hub of this test repeat every secret that they get,
// wherever an answer has room for it. None may appear in text that people see.
func TestNoSecretIsShown(t *testing.T) {
	const proxyPassword, hubPassword, key = "proxy-canary", "hub-canary", "header-canary"
	var mu sync.Mutex
	received := map[string]int{} // the secrets that were sent
	echo := func(way int) func(context.Context, net.Conn) {
		return func(_ context.Context, c net.Conn) {
			buf := make([]byte, 8192)
			n, _ := c.Read(buf)
			request := string(buf[:n])
			_, secret, _ := strings.Cut(request, "uthorization: ")
			secret, _, _ = strings.Cut(secret, "\r\n")
			mu.Lock()
			if secret != "" {
				received[secret]++
			}
			mu.Unlock()
			host := strings.ToLower(strings.NewReplacer(" ", "-", "=", "").Replace(secret))
			echoes := fmt.Sprintf("Www-Authenticate: Basic realm=%q, %s\r\nLocation: https://%s.127.0.0.1:1/%s\r\nX-Key: %s\r\nDocker-Ratelimit-Source: x\r\n",
				secret, secret, host, secret, secret)
			text := fmt.Sprintf(`{"repositories":["app"],"tags":["t"],"token":"t","layers":[{"digest":%q,"size":1}],"x":%q}`, blobDigest, secret)
			switch way {
			case 0: // in the status text, and as no HTTP at all when there is a login
				if secret != "" {
					fmt.Fprintf(c, "HTTP/9 %s\r\n\r\n", secret)
				} else {
					fmt.Fprintf(c, "HTTP/1.1 401 %s\r\n%s\r\n", secret, echoes)
				}
			case 1:
				fmt.Fprintf(c, "HTTP/1.1 200 %s\r\nContent-Length: %d\r\n%s\r\n", secret, len(text), echoes)
				if !strings.HasPrefix(request, "HEAD") {
					_, _ = io.WriteString(c, text)
				}
			case 2: // redirects
				if strings.Contains(request, "/blobs/") || strings.HasPrefix(request, "HEAD") {
					fmt.Fprintf(c, "HTTP/1.1 307 %s\r\nContent-Length: 0\r\n%s\r\n", secret, echoes)
				} else {
					fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(text), text)
				}
			case 3: // fails as soon as there is a login
				if secret != "" {
					fmt.Fprintf(c, "HTTP/1.1 503 %s\r\nContent-Length: 0\r\n%s\r\n", secret, echoes)
				} else {
					_, _ = io.WriteString(c, "HTTP/1.1 404 x\r\nContent-Length: 0\r\n\r\n")
				}
			}
		}
	}
	var all []Endpoint
	for way := range 4 {
		address := rawServer(t, echo(way))
		all = append(all, Endpoint{
			URL: mustURL(t, "http://"+address), Learn: true, Authorization: goodLogin, Header: map[string][]string{"X-Key": {key}},
		})
	}
	// One more behind a proxy that repeats its own login.
	proxy := rawServer(t, echo(0))
	all = append(all, endpoint(t, "https://mirror.corp"))
	hub := rawServer(t, echo(0))

	var log logBuffer
	p := New(Options{
		Log: log.logger(), Getenv: env("HTTPS_PROXY", "http://u:"+proxyPassword+"@"+proxy), LoginKey: []byte("login-key-canary"),
		Hub: dockerhublimit.Service{Registry: "http://" + hub, Token: "http://" + hub + "/token"},
	})
	s := longTimeout()
	s.Interval = 50 * time.Millisecond
	p.Set(s, all)
	p.SetHub(true, "u", redact.New(hubPassword))
	stop := run(t, p)
	eventually(t, "everything is known", func() bool {
		known := !slices.ContainsFunc(p.Status(), func(s Status) bool { return !s.Known })
		l, _ := p.Hub()
		return known && len(p.Learned()) == 4 && l.Err != ""
	})
	stop()

	limit, _ := p.Hub()
	var seen strings.Builder
	for _, v := range []any{p.Status(), p.Learned(), limit, s} {
		j, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&seen, "%s %v %+v %#v\n", j, v, v, v)
	}
	seen.WriteString(log.String())
	secrets := []string{
		password, username + ":" + password, proxyPassword, "u:" + proxyPassword, hubPassword, "u:" + hubPassword, key, "login-key-canary", goodLogin.Reveal(),
	}
	if found := findSecrets(seen.String(), secrets...); len(found) > 0 {
		t.Errorf("secrets %q are shown in\n%s", found, seen.String())
	}

	// The control: the secrets were sent and repeated, and findSecrets finds them.
	basic := func(s string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(s)) }
	mu.Lock()
	defer mu.Unlock()
	for _, s := range []string{goodLogin.Reveal(), basic("u:" + proxyPassword), basic("u:" + hubPassword)} {
		if received[s] == 0 {
			t.Errorf("%s was never sent: the test proves nothing about it", s)
		}
	}
	for _, s := range secrets {
		if len(findSecrets("x "+base64.StdEncoding.EncodeToString([]byte(s)), s)) == 0 || len(findSecrets("x"+s, s)) == 0 {
			t.Errorf("findSecrets does not find %s", s)
		}
	}
	for _, f := range p.Learned() {
		if strings.Contains(f.To, ".") && !strings.HasPrefix(f.To, "127.0.0.1:") {
			t.Errorf("%+v", f)
		}
	}
}
