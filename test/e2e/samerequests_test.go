package e2e

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/berth-registry/berth/test/e2e/registry"
	"github.com/berth-registry/berth/test/fakes/upstream"
	"github.com/berth-registry/berth/test/sample"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// TestSameRequests pulls an image twice, with the hosts.toml that Berth wrote and with the one that
// a person would write. containerd must send the same requests: host, method, path, query and every
// header.
func TestSameRequests(t *testing.T) {
	var rows []scenario
	for _, c := range sameCases() {
		rows = append(rows, scenario{c.name, func(s *fixture) {
			p := newRecordedPulls(s)
			img, err := sample.NewIndex()
			if err != nil {
				s.Fatal(err)
			}
			for _, path := range []string{"", "cache/hub/"} {
				s.push(path+repo, img, p.store)
			}
			p.sees(c, ref, img)
		}})
	}
	onEachContainerd(t, programs{berth: berthBinary(t)}, rows)
}

// sameCase is a RegistryConfig and the hosts.toml that a person writes in its place. Both may name
// FIRST and SECOND, mirrors that serve every image, MISSING, a mirror without images, DEAD, an
// address that refuses connections, and HUB, Docker Hub, which serves every image too.
type sameCase struct {
	name  string
	berth string
	dir   string // of the file below certs.d
	hand  string
	asks  string // the hosts that must be asked
	// other is a file with a difference that must be noticed.
	other string
}

// byHand returns a hosts.toml for Docker Hub, as containerd's page on it shows them.
func byHand(hosts ...string) string {
	text := "server = \"https://registry-1.docker.io\"\n"
	for _, h := range hosts {
		text += fmt.Sprintf("\n[host.%q]\n  capabilities = [\"pull\", \"resolve\"]\n", "http://"+h)
	}
	return text
}

func sameCases() []sameCase {
	withHeader := func(name, value string) string {
		return byHand("FIRST") + fmt.Sprintf("  [host.\"http://FIRST\".header]\n    %s = %q\n", name, value)
	}
	loginOf := func(password string) string {
		return withHeader("Authorization", "Basic "+basic(robot, password))
	}
	return []sameCase{
		{"one-mirror", mirrorOf("docker.io", "http://FIRST"), "docker.io", byHand("FIRST"), "FIRST", byHand("SECOND")},
		{"order", mirrorOf("docker.io", "http://FIRST", "http://SECOND"), "docker.io", byHand("FIRST", "SECOND"), "FIRST", byHand("SECOND", "FIRST")},
		{"fallback", mirrorOf("docker.io", "http://MISSING", "http://SECOND"), "docker.io", byHand("MISSING", "SECOND"), "MISSING SECOND", byHand("SECOND", "MISSING")},
		{"dead-mirror", mirrorOf("docker.io", "http://DEAD"), "docker.io", byHand("DEAD"), "HUB", byHand("DEAD", "FIRST")},
		{
			"path", mirrorOf("docker.io", "http://FIRST/cache/hub"), "docker.io",
			byHand("FIRST/v2/cache/hub") + "  override_path = true\n", "FIRST", byHand("FIRST"),
		},
		{
			"only", mirrorOf("docker.io", "http://FIRST") + only, "docker.io",
			"server = \"http://FIRST\"\n[host.\"http://FIRST\"]\n  capabilities = [\"pull\", \"resolve\"]\n", "FIRST", byHand("SECOND"),
		},
		{"default", mirrorOf("*", "http://FIRST"), "_default", "[host.\"http://FIRST\"]\n  capabilities = [\"pull\", \"resolve\"]\n", "FIRST", byHand("SECOND")},
		{
			"header", mirrorOf("docker.io", "http://FIRST") + "    headers: {X-Org: [team-a]}\n", "docker.io",
			withHeader("X-Org", "team-a"), "FIRST", withHeader("X-Org", "team-b"),
		},
		{
			"login", mirrorOf("docker.io", "http://FIRST") +
				fmt.Sprintf("registries:\n- {host: \"FIRST\", username: %s, password: %q, auth: basic}\n", robot, password),
			"docker.io", loginOf(password), "FIRST", loginOf("another"),
		},
	}
}

// recordedPulls is a node whose mirrors and Docker Hub record each request, and pass it on to one
// docker-registry.
type recordedPulls struct {
	*fixture
	store *registry.Registry
	names *strings.Replacer // FIRST … to addresses
	back  *strings.Replacer // and back
	mu    sync.Mutex
	seen  []seenRequest
}

// seenRequest is a request as it arrived.
type seenRequest struct {
	blob string // the path, if it is that of a blob
	text string
}

func newRecordedPulls(s *fixture) *recordedPulls {
	s.Helper()
	p := &recordedPulls{fixture: s, store: s.registry(registry.Options{})}
	first, second := s.mirror(p.record(p.forward())), s.mirror(p.record(p.forward()))
	missing := s.mirror(p.record(upstream.Status(http.StatusNotFound)))
	dockerHub := s.behindProxy(hub, p.record(p.forward()))
	for _, d := range []*upstream.Decoy{first, second, missing, dockerHub} {
		s.claimed[d] = true
	}
	dead := s.closedPort()
	p.names = strings.NewReplacer("FIRST", first.Addr(), "SECOND", second.Addr(), "MISSING", missing.Addr(), "DEAD", dead)
	p.back = strings.NewReplacer(first.Addr(), "FIRST", second.Addr(), "SECOND", missing.Addr(), "MISSING", hub, "HUB")
	return p
}

// forward passes requests on to the store.
func (p *recordedPulls) forward() http.Handler {
	store := &url.URL{Scheme: "http", Host: p.store.Addr()}
	return &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(store) }}
}

// record writes down each request and has next answer it.
func (p *recordedPulls) record(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var text strings.Builder
		fmt.Fprintf(&text, "%s %s %s\n", r.Method, r.Host, r.RequestURI)
		_ = r.Header.WriteSubset(&text, nil) // sorted by name; a Builder takes everything
		seen := seenRequest{text: strings.ReplaceAll(text.String(), "\r\n", "\n")}
		if strings.Contains(r.URL.Path, "/blobs/") {
			seen.blob = r.URL.Path
		}
		p.mu.Lock()
		p.seen = append(p.seen, seen)
		p.mu.Unlock()
		next.ServeHTTP(w, r)
	})
}

// written makes Berth write the files of a case, or writes the given one in their place.
func (p *recordedPulls) written(c sameCase, hand string) {
	p.Helper()
	if err := os.RemoveAll(p.root); err != nil {
		p.Fatal(err)
	}
	if err := os.MkdirAll(p.root, 0o755); err != nil {
		p.Fatal(err)
	}
	if hand != "" {
		p.hosts(c.dir, p.names.Replace(hand))
		return
	}
	p.apply(p.names.Replace(c.berth))
	if _, err := os.Stat(filepath.Join(p.root, certsDir, c.dir, "hosts.toml")); err != nil {
		p.Fatal(err)
	}
}

// recorded pulls ref, removes it from containerd's store, and returns the requests and the time of
// the pull. containerd fetches blobs at the same time, so their order has no meaning; that of the
// requests for one blob has.
func (p *recordedPulls) recorded(ref string, id string, limit time.Duration) ([]string, time.Duration) {
	p.Helper()
	p.mu.Lock()
	p.seen = nil
	p.mu.Unlock()
	ctx, cancel := context.WithTimeout(p.Context(), limit)
	defer cancel()
	began := time.Now()
	got, err := p.daemon.Pull(ctx, ref, nil)
	took := time.Since(began)
	if err != nil || got.ID != id {
		p.Fatalf("pull %s: got image %s, want %s (%v)", ref, got.ID, id, err)
	}
	conn, err := grpc.NewClient("unix://"+p.daemon.Socket(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		p.Fatal(err)
	}
	defer conn.Close()
	if _, err := cri.NewImageServiceClient(conn).RemoveImage(ctx, &cri.RemoveImageRequest{Image: &cri.ImageSpec{Image: ref}}); err != nil {
		p.Fatal(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	slices.SortStableFunc(p.seen, func(a, b seenRequest) int { return strings.Compare(a.blob, b.blob) })
	var texts []string
	for _, r := range p.seen {
		texts = append(texts, p.back.Replace(r.text))
	}
	return texts, took
}

// sees checks that both files of a case lead to the same requests, to the hosts that it names, for
// the whole image, and that the other file does not.
func (p *recordedPulls) sees(c sameCase, ref string, img sample.Image) {
	p.Helper()
	pull := func(hand string) []string {
		p.written(c, hand)
		texts, _ := p.recorded(ref, img.Blobs[0], pullTime)
		return texts
	}
	ours := pull("")
	if difference := firstDifference(ours, pull(c.hand)); difference != "" {
		p.Errorf("Berth's file and the hand-written one lead to different requests: %s", difference)
	}
	if firstDifference(ours, pull(c.other)) == "" {
		p.Errorf("a file that is different was not noticed:\n%s", indent(c.other))
	}
	var hosts, objects []string
	for _, text := range ours {
		fields := strings.Fields(text)
		hosts = append(hosts, fields[1])
		object, _, _ := strings.Cut(fields[0]+" "+fields[2][strings.LastIndex(fields[2], "/"):], "?")
		objects = append(objects, object)
	}
	slices.Sort(hosts)
	if got := strings.Join(slices.Compact(hosts), " "); got != c.asks {
		p.Errorf("asked %s, want %s", got, c.asks)
	}
	slices.Sort(objects)
	want := []string{"HEAD /v1", "GET /" + img.Digest}
	for _, digest := range img.Blobs {
		want = append(want, "GET /"+digest)
	}
	if img.Manifest != img.Digest {
		want = append(want, "GET /"+img.Manifest)
	}
	slices.Sort(want)
	if got := slices.Compact(objects); !slices.Equal(got, want) {
		p.Errorf("requests are\n%s\nwant\n%s", indent(strings.Join(got, "\n")), indent(strings.Join(want, "\n")))
	}
}

// firstDifference describes the first request in which two pulls differ, or is "".
func firstDifference(a, b []string) string {
	for i := range max(len(a), len(b)) {
		x, y := "none", "none"
		if i < len(a) {
			x = a[i]
		}
		if i < len(b) {
			y = b[i]
		}
		if x != y {
			return fmt.Sprintf("request %d of %d and %d is\n%s\nand\n%s", i+1, len(a), len(b), indent(x), indent(y))
		}
	}
	return ""
}
