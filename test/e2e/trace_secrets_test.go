package e2e

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/berth-registry/berth/test/e2e/containerd"
	"github.com/berth-registry/berth/test/fakes/upstream"
)

// The pull secret of a pod, which kubelet passes without a host. It is one for Docker Hub.
const podUser, podPassword = "pod", "secret of the pod"

// secretRow is a node on which a pod with a pull secret is started. sees lists the hosts that
// receive the secret, "mirror" and "hub", each with its token server.
type secretRow struct {
	name          string
	page          string // the first cell of the row of the page
	set           func(*traced, *sightings)
	sees          string
	serves, older string // as in traceRow
}

// TestTracePullSecrets compares the table of docs/pull-secrets.md with how containerd uses a pull
// secret, and berth trace's note with both: trace prints the note exactly when a mirror receives
// the secret.
func TestTracePullSecrets(t *testing.T) {
	berth := berthBinary(t)
	var scenarios []scenario
	for _, row := range secretRows() {
		scenarios = append(scenarios, scenario{row.name, func(s *fixture) { pullsWithSecret(s, row) }})
	}
	onEachContainerd(t, programs{berth: berth}, scenarios)
}

func secretRows() []secretRow {
	header := func(s *traced, secret string) {
		s.hosts("docker.io", hostTables(s.url())+fmt.Sprintf("[host.%q.header]\n  Authorization = \"Basic %s\"\n", s.url(), basic(robot, secret)))
	}
	plain := func(s *traced) { s.hosts("docker.io", hostTables(s.url())) }
	wantsBasic := func(s *traced, seen *sightings) {
		s.use(seen.by("mirror", upstream.Basic(robot, password, s.content)))
	}
	wantsToken := func(s *traced, seen *sightings) {
		tokens := s.decoy(seen.by("mirror", tokenServer(robot, password)))
		s.use(seen.by("mirror", upstream.Bearer("http://"+tokens.Addr()+"/token", "good", s.content)))
	}
	return []secretRow{
		{"open", "asks for no login", func(s *traced, seen *sightings) { s.use(seen.by("mirror", s.content)); plain(s) }, "", "mirror", "-"},
		{"open-and-lacks-it", "asks for no login, and lacks the image", func(s *traced, seen *sightings) { s.use(seen.by("mirror", upstream.Status(404))); plain(s) }, "hub", "hub", "-"},
		{"basic", "asks for a login (Basic)", func(s *traced, seen *sightings) { wantsBasic(s, seen); plain(s) }, "hub mirror", "hub", "-"},
		{"basic-and-the-secret-is-right", "asks for a login, and takes this one by chance", func(s *traced, seen *sightings) {
			s.use(seen.by("mirror", upstream.Basic(podUser, podPassword, s.content)))
			plain(s)
		}, "mirror", "mirror", "-"},
		{"token", "asks for a token (Bearer)", func(s *traced, seen *sightings) { wantsToken(s, seen); plain(s) }, "hub mirror", "hub", "-"},
		{"basic-with-header", "asks for a login, and the right one is in its header", func(s *traced, seen *sightings) { wantsBasic(s, seen); header(s, password) }, "", "mirror", "-"},
		{"basic-with-wrong-header", "asks for a login, and the one in its header is wrong", func(s *traced, seen *sightings) { wantsBasic(s, seen); header(s, "old") }, "hub mirror", "hub", "-"},
		{"expired-header", "answers 403 to its header, as ECR to an expired token", func(s *traced, seen *sightings) { s.use(seen.by("mirror", upstream.Status(403))); header(s, password) }, "hub", "hub", "-"},
		{"token-with-header", "asks for a token, and the right login is in its header", func(s *traced, seen *sightings) { wantsToken(s, seen); header(s, password) }, "hub mirror", "hub", "-"},
		{"no-fallback", "asks for a login, and there is no fallback", func(s *traced, seen *sightings) {
			wantsBasic(s, seen)
			s.hosts("docker.io", fmt.Sprintf("server = %q\n[host]\n", s.url()))
		}, "mirror", "", "-"},
		{"for-everything", "asks for a login, and is the one for `\"*\"`", func(s *traced, seen *sightings) { wantsBasic(s, seen); s.hosts("_default", hostTables(s.url())) }, "hub mirror", "hub", "-"},
		{"for-everything-else", "is the one for `\"*\"`, beside a directory for Docker Hub alone", func(s *traced, seen *sightings) {
			wantsBasic(s, seen)
			s.hosts("_default", hostTables(s.url()))
			s.hosts("docker.io", "[host]\n")
		}, "hub", "hub", "-"},
	}
}

// TestPullSecretsPage checks that the table of the page is that of the test.
func TestPullSecretsPage(t *testing.T) {
	text, err := os.ReadFile("../../docs/pull-secrets.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(text), "| The mirror … | Who sees the pull secret | The image comes from |\n|---|---|---|\n")
	if !found {
		t.Fatal("the page has no such table")
	}
	table, _, _ = strings.Cut(table, "\n\n")
	who := map[string]string{"": "no host", "mirror": "the mirror", "hub": "Docker Hub", "hub mirror": "the mirror, then Docker Hub"}
	from := map[string]string{"": "nowhere, the pull fails", "mirror": "the mirror", "hub": "Docker Hub"}
	var want []string
	for _, row := range secretRows() {
		want = append(want, fmt.Sprintf("| %s | %s | %s |", row.page, who[row.sees], from[row.serves]))
	}
	if got := strings.Join(want, "\n"); got != strings.TrimSpace(table) {
		t.Errorf("the page has\n%s\nand the test\n%s", table, got)
	}
}

// pullsWithSecret sets up a row, runs berth trace, pulls as kubelet does for the pod, and compares.
func pullsWithSecret(s *fixture, row secretRow) {
	t, seen := newTraced(s), &sightings{who: map[string]bool{}}
	t.passed = &containerd.Credential{Username: podUser, Password: podPassword}
	s.behindProxy("auth.docker.io", seen.by("hub", tokenServer("", "")))
	t.hubAnswers(seen.by("hub", upstream.Bearer("https://auth.docker.io/token", "good", t.content)))
	row.set(t, seen)

	told := t.trace()
	if who := seen.all(); who != "" {
		s.Errorf("berth trace shows the secret to %s", who)
	}
	served := t.pulled(2 * pullTime)
	for _, d := range s.decoys {
		s.claimed[d] = true
	}
	t.wants(served, row.serves, row.older)
	if who := seen.all(); who != row.sees {
		s.Errorf("the secret was seen by %q, want %q", who, row.sees)
	}
	noted := slices.ContainsFunc(told.Notes, func(n struct{ ID, Text string }) bool { return n.ID == "pull-secret" })
	if byMirror := strings.Contains(row.sees, "mirror"); noted != byMirror {
		s.Errorf("berth trace notes that a mirror sees pull secrets: %t, want %t (%+v)", noted, byMirror, told.Notes)
	}
}

// sightings are the hosts that received the pod's secret.
type sightings struct {
	mu  sync.Mutex
	who map[string]bool
}

// by looks for the secret in the requests to a host: in the header, and in the form for a token
// server.
func (s *sightings) by(host string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
		if err != nil {
			http.Error(w, "the request ends early", http.StatusBadRequest)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		_, inHeader, _ := r.BasicAuth()
		if inHeader == podPassword || bytes.Contains(body, []byte(strings.ReplaceAll(podPassword, " ", "+"))) {
			s.mu.Lock()
			s.who[host] = true
			s.mu.Unlock()
		}
		next.ServeHTTP(w, r)
	})
}

// all returns the hosts, sorted.
func (s *sightings) all() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(slices.Sorted(maps.Keys(s.who)), " ")
}

// tokenServer issues a token for one login, in a form or in a header; without a login, for every
// request. https://distribution.github.io/distribution/spec/auth/oauth/
func tokenServer(username, password string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u, p, _ := r.BasicAuth()
		if r.Method == http.MethodPost {
			u, p = r.PostFormValue("username"), r.PostFormValue("password")
		}
		if username != "" && (u != username || p != password) {
			upstream.Status(http.StatusUnauthorized).ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"token":"good","access_token":"good"}`)
	})
}
