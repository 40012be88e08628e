package credprovider

import (
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/berth-registry/berth/credprovider/ecr"
	"github.com/berth-registry/berth/credprovider/ecr/client"
	"github.com/berth-registry/berth/test/fakes/fakeaws"
)

// TestMain keeps every test away from a real metadata service. With the variable lockVar the
// process holds a lock until it is killed.
func TestMain(m *testing.M) {
	if dir := os.Getenv(lockVar); dir != "" {
		holdLock(dir)
	}
	os.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1")
	goleak.VerifyTestMain(m)
}

const lockVar = "BERTH_TEST_HOLD_LOCK"

func holdLock(dir string) {
	lock, err := tryLocks(dir, scope{"ecr", "us-east-1"}, []string{"profile"})
	if err != nil || lock == nil {
		os.Exit(1)
	}
	os.Stdout.WriteString("held\n")
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGTERM)
	<-c
}

const usEast = "111122223333.dkr.ecr.us-east-1.amazonaws.com"

var (
	profileKey = fakeaws.Key{ID: "ASIAPROFILE", Secret: "profile-secret-canary", Session: "profile-session-canary"}
	staticKey  = fakeaws.Key{ID: "AKIASTATIC", Secret: "static-secret-canary"}
)

// node is a machine with token files and a fake AWS, all on one clock.
type node struct {
	*fakeaws.Server
	*Tokens
	mu    sync.Mutex
	ahead time.Duration
}

func newNode(t testing.TB) *node {
	t.Helper()
	s, err := fakeaws.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	n := &node{Server: s}
	s.SetClock(n.clock)
	s.SetRole("node", profileKey)
	s.AddKey(staticKey)
	env := map[string]string{"HOME": t.TempDir()}
	for _, e := range s.Env() {
		name, value, _ := strings.Cut(e, "=")
		env[name] = value
	}
	env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"] = staticKey.ID, staticKey.Secret
	if !strings.HasPrefix(env["AWS_EC2_METADATA_SERVICE_ENDPOINT"], "http://127.0.0.1:") {
		t.Fatal("tests may only ask this machine")
	}
	n.Tokens = &Tokens{
		Dir:   filepath.Join(t.TempDir(), "run", "berth", "tokens"),
		Chain: ecr.NewChain(ecr.Options{Getenv: func(k string) string { return env[k] }, Client: client.New(client.Options{Getenv: func(k string) string { return env[k] }, Now: n.clock}), Now: n.clock}),
		Now:   n.clock,
	}
	return n
}

func (n *node) clock() time.Time {
	n.mu.Lock()
	defer n.mu.Unlock()
	return time.Now().Add(n.ahead)
}

func (n *node) advance(d time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.ahead += d
}

func (n *node) file(identity string) string {
	return filepath.Join(n.Dir, "ecr_"+identity+"_us-east-1.json")
}

func registry(t testing.TB, host string) ecr.Registry {
	t.Helper()
	r, ok := ecr.ParseHost(host)
	if !ok {
		t.Fatalf("%s is no ECR host", host)
	}
	return r
}
