package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/berth-registry/berth/test/e2e/sample"
	"github.com/berth-registry/berth/test/e2e/upstream"
)

// TestTrace holds berth trace against what containerd then does: it names a
// host, or says that none serves, and the decoys tell who gave the layer.
func TestTrace(t *testing.T) {
	berth := berthBinary(t)
	var scenarios []scenario
	for _, row := range traceRows() {
		scenarios = append(scenarios, scenario{row.name, func(s *scene) { agree(s, row) }})
	}
	onEachContainerd(t, programs{berth: berth}, scenarios)
}

// traceRow is one node. want is who serves on containerd 2.4: "hub", "mirror"
// or "" for nobody; older is that of 1.6 where it is another ("-": the same).
type traceRow struct {
	name        string
	set         func(*traced)
	want, older string
}

// traced is a scene whose decoys count the layers that they gave.
type traced struct {
	*scene
	img     sample.Image
	ref     string
	content *upstream.Content
	mirror  *layerSource // the one that want calls mirror

	sources map[string]*layerSource // by host[:port]
}

// layerSource counts the blobs that containerd, and nobody else, got from a handler.
type layerSource struct {
	*upstream.Decoy
	mu     sync.Mutex
	served int
}

func (c *layerSource) of(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rec := &statusOf{ResponseWriter: w, code: http.StatusOK}
		next.ServeHTTP(rec, r)
		if rec.code < http.StatusBadRequest && r.Method == http.MethodGet &&
			strings.Contains(r.URL.Path, "/blobs/") && strings.HasPrefix(r.UserAgent(), "containerd/") {
			c.mu.Lock()
			c.served++
			c.mu.Unlock()
		}
	})
}

func (c *layerSource) blobs() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.served
}

type statusOf struct {
	http.ResponseWriter
	code int
}

func (s *statusOf) WriteHeader(code int) {
	s.code = code
	s.ResponseWriter.WriteHeader(code)
}

// decoy starts a mirror over plain http that answers so.
func (s *traced) decoy(answer http.Handler) *layerSource {
	s.Helper()
	c := &layerSource{}
	c.Decoy = s.scene.mirror(c.of(answer))
	s.sources[c.Addr()] = c
	return c
}

// url is the address of the good mirror.
func (s *traced) url() string { return "http://" + s.mirror.Addr() }

// use replaces the good mirror.
func (s *traced) use(answer http.Handler) { s.mirror = s.decoy(answer) }

// agree sets up a row, asks berth trace, pulls, and compares.
func agree(s *scene, row traceRow) {
	t := &traced{scene: s, ref: ref, content: upstream.NewContent(), sources: map[string]*layerSource{}}
	t.img = s.image(repo, t.content)
	t.use(t.content)
	hubSource := &layerSource{Decoy: s.decoys[hub]}
	s.decoys[hub].Answer(hubSource.of(t.content))
	t.sources[hub] = hubSource
	row.set(t)

	verdict := t.trace()
	served := t.pulled()
	for _, d := range s.decoys {
		s.claimed[d] = true
	}
	if text := verdict.disagrees(served); text != "" {
		s.Error(text)
	}
	want := row.want
	if s.older && row.older != "-" {
		want = row.older
	}
	if name := map[string]string{"hub": hub, "mirror": t.mirror.Addr(), "": ""}[want]; served != name {
		s.Errorf("containerd got it from %q, and the row wants %q (%s)", served, name, want)
	}
}

// traceVerdict is what is used of the command's output.
type traceVerdict struct {
	Serves     bool
	Host, Text string
}

// disagrees says in what the verdict differs from who served ("": nobody did).
func (v traceVerdict) disagrees(served string) string {
	if v.Host == served && v.Serves == (served != "") {
		return ""
	}
	return fmt.Sprintf("trace says that %q serves (%t: %s); containerd got it from %q", v.Host, v.Serves, v.Text, served)
}

// TestTraceDisagrees proves that the comparison can fail.
func TestTraceDisagrees(t *testing.T) {
	for served, v := range map[string]traceVerdict{
		hub: {Serves: true, Host: "mirror"}, "mirror": {}, "": {Serves: true, Host: hub},
	} {
		if v.disagrees(served) == "" {
			t.Errorf("%+v passes for %q", v, served)
		}
	}
	if text := (traceVerdict{Serves: true, Host: hub}).disagrees(hub); text != "" {
		t.Error(text)
	}
}

// trace runs the command against the daemon as a process of the node.
func (s *traced) trace() traceVerdict {
	s.Helper()
	id, err := s.daemon.Identity()
	if err != nil {
		s.Fatal(err)
	}
	var pid int
	if _, err := fmt.Sscanf(id, "%d", &pid); err != nil {
		s.Fatalf("identity %q: %v", id, err)
	}
	// Other containerds run beside this one.
	proc := filepath.Join(s.TempDir(), "proc")
	if err := os.Mkdir(proc, 0o755); err != nil {
		s.Fatal(err)
	}
	if err := os.Symlink(fmt.Sprintf("/proc/%d", pid), filepath.Join(proc, fmt.Sprint(pid))); err != nil {
		s.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(s.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, s.berth, "trace", "--proc", proc, "--timeout", "3s", "-o", "json", s.ref)
	cmd.Env = append(os.Environ(), "SSL_CERT_FILE="+filepath.Join(filepath.Dir(s.root), "roots.pem"), "SSL_CERT_DIR="+s.root)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err = cmd.Run()
	var reports []struct{ Verdict traceVerdict }
	if jsonErr := json.Unmarshal(stdout.Bytes(), &reports); jsonErr != nil || len(reports) != 1 {
		s.Fatalf("berth trace: %v, %v\n%s%s", err, jsonErr, &stdout, &stderr)
	}
	v := reports[0].Verdict
	if code := cmd.ProcessState.ExitCode(); (code == 0) != v.Serves {
		s.Errorf("berth trace: exit code %d, and %+v", code, v)
	}
	for _, secret := range s.secrets {
		if strings.Contains(stdout.String()+stderr.String(), secret.basic) || strings.Contains(stdout.String()+stderr.String(), secret.password) {
			s.Error("berth trace shows a login")
		}
	}
	s.Cleanup(func() {
		if s.Failed() {
			s.Log(stdout.String())
		}
	})
	return v
}

// pulled pulls and names the host that gave the layers, or nobody.
func (s *traced) pulled() string {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), 2*pullTime)
	defer cancel()
	got, err := s.daemon.Pull(ctx, s.ref, nil)
	if ctx.Err() != nil {
		s.Fatalf("pull %s: %v", s.ref, err)
	}
	if err != nil {
		return ""
	}
	if got.ID != s.img.Blobs[0] {
		s.Fatalf("pull %s: got image %s, want %s", s.ref, got.ID, s.img.Blobs[0])
	}
	var served []string
	for host, c := range s.sources {
		if c.blobs() > 0 {
			served = append(served, host)
		}
	}
	if len(served) != 1 {
		s.Fatalf("pull %s: layers came from %q", s.ref, served)
	}
	return served[0]
}
