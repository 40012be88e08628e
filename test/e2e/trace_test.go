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
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/berth-registry/berth/test/e2e/containerd"
	"github.com/berth-registry/berth/test/fakes/upstream"
	"github.com/berth-registry/berth/test/sample"
)

// TestTrace compares berth trace with the pull that follows: trace names the host that serves, or
// reports that none does, and the decoys record which host served the layer.
func TestTrace(t *testing.T) {
	berth := berthBinary(t)
	var scenarios []scenario
	for _, row := range slices.Concat(traceRows(), answerRows()) {
		scenarios = append(scenarios, scenario{row.name, func(s *fixture) { agree(s, row) }})
	}
	onEachContainerd(t, programs{berth: berth}, scenarios)
}

// traceRow is one node. want is the host that serves on containerd 2.4: "hub", "mirror" or "" for
// none; older is that of 1.x where it differs ("-": the same), or, as in "hub before 2.1", that of
// releases before another one.
type traceRow struct {
	name        string
	set         func(*traced)
	want, older string
}

// traced is a fixture whose decoys count the layers that they served.
type traced struct {
	*fixture
	img     sample.Image
	ref     string
	content *upstream.Content
	mirror  *layerSource // the one that want calls mirror
	// passed is what kubelet passes, nil for nothing.
	passed *containerd.Credential

	sources map[string]*layerSource // by host[:port]
}

// newTraced returns a node with a mirror and Docker Hub, which have the same image.
func newTraced(s *fixture) *traced {
	s.Helper()
	t := &traced{fixture: s, ref: ref, content: upstream.NewContent(), sources: map[string]*layerSource{}}
	t.img = s.image(repo, t.content)
	t.use(t.content)
	t.hubAnswers(t.content)
	return t
}

// hubAnswers replaces Docker Hub's answers.
func (s *traced) hubAnswers(answer http.Handler) {
	c := &layerSource{Decoy: s.decoys[hub]}
	s.decoys[hub].Answer(c.of(answer))
	s.sources[hub] = c
}

// layerSource counts the blobs that containerd got from a handler.
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

// Unwrap is for http.ResponseController.
func (s *statusOf) Unwrap() http.ResponseWriter { return s.ResponseWriter }

func (s *statusOf) WriteHeader(code int) {
	s.code = code
	s.ResponseWriter.WriteHeader(code)
}

// decoy starts a mirror over plain http that serves answer.
func (s *traced) decoy(answer http.Handler) *layerSource {
	s.Helper()
	c := &layerSource{}
	c.Decoy = s.fixture.mirror(c.of(answer))
	s.sources[c.Addr()] = c
	return c
}

// url returns the address of the good mirror.
func (s *traced) url() string { return "http://" + s.mirror.Addr() }

// use replaces the good mirror.
func (s *traced) use(answer http.Handler) { s.mirror = s.decoy(answer) }

// agree sets up a row, runs berth trace, pulls, and compares.
func agree(s *fixture, row traceRow) {
	t := newTraced(s)
	row.set(t)
	told := t.trace()
	t.compare(told.Verdict, row.want, row.older, 2*pullTime)
}

// compare pulls, and compares the host that serves with the verdict and the row. A pull takes less
// than patience.
func (s *traced) compare(v traceVerdict, want, older string, patience time.Duration) {
	s.Helper()
	served := s.pulled(patience)
	for _, d := range s.decoys {
		s.claimed[d] = true
	}
	if text := v.disagrees(served); text != "" {
		s.Error(text)
	}
	s.wants(served, want, older)
}

// wants compares the host that served with the row.
func (s *traced) wants(served, want, older string) {
	s.Helper()
	older, since, found := strings.Cut(older, " before ")
	if !found {
		since = "2.0"
	}
	var major, minor int
	if _, err := fmt.Sscanf(since, "%d.%d", &major, &minor); err != nil {
		s.Fatalf("row: before %q: %v", since, err)
	}
	if older != "-" && !s.release.AtLeast(major, minor, 0) {
		want = older
	}
	if name := map[string]string{"hub": hub, "mirror": s.mirror.Addr(), "": ""}[want]; served != name {
		s.Errorf("containerd got it from %q, and the row wants %q (%s)", served, name, want)
	}
}

// traceReport is the part of the command's output that the test uses.
type traceReport struct {
	Verdict traceVerdict
	Notes   []struct{ ID, Text string }
}

// traceVerdict names the host that serves.
type traceVerdict struct {
	Serves     bool
	Host, Text string
}

// disagrees returns how the verdict differs from the host that served ("": none did).
func (v traceVerdict) disagrees(served string) string {
	if v.Host == served && v.Serves == (served != "") {
		return ""
	}
	return fmt.Sprintf("trace says that %q serves (%t: %s); containerd got it from %q", v.Host, v.Serves, v.Text, served)
}

// TestTraceDisagrees shows that the comparison can fail.
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
func (s *traced) trace() traceReport {
	s.Helper()
	id, err := s.daemon.Identity()
	if err != nil {
		s.Fatal(err)
	}
	var pid int
	if _, err := fmt.Sscanf(id, "%d", &pid); err != nil {
		s.Fatalf("identity %q: %v", id, err)
	}
	// Other containerd processes run beside this one.
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
	var reports []traceReport
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
	return reports[0]
}

// pulled pulls and returns the host that served the layers, or "".
func (s *traced) pulled(patience time.Duration) string {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), patience)
	defer cancel()
	got, err := s.daemon.Pull(ctx, s.ref, s.passed)
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
