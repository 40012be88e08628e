package ecr

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/berth-registry/berth/test/fakes/fakeaws"
	"go.uber.org/goleak"
)

// TestMain keeps every test away from a real metadata service: nothing runs
// unless the environment names another one.
func TestMain(m *testing.M) {
	if os.Getenv(envMetadata) == "" {
		// A port where nothing listens.
		os.Setenv(envMetadata, "http://127.0.0.1:1")
	}
	if base := newMetadata(os.Getenv, "/sys").base; !strings.HasPrefix(base, "http://127.0.0.1:") {
		fmt.Fprintf(os.Stderr, "%s is %q: tests may only ask this machine\n", envMetadata, base)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}

// world is a fake AWS and the environment that leads to it.
type world struct {
	*fakeaws.Server
	env       map[string]string
	impatient bool
}

var (
	profileKey = fakeaws.Key{ID: "ASIAPROFILE", Secret: "profile-secret-canary", Session: "profile-session-canary"}
	staticKey  = fakeaws.Key{ID: "AKIASTATIC", Secret: "static-secret-canary"}
)

// newWorld has an instance with a role, and static keys in the environment.
func newWorld(t testing.TB) *world {
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
	w := &world{Server: s, env: map[string]string{"HOME": t.TempDir()}}
	for _, e := range s.Env() {
		name, value, _ := strings.Cut(e, "=")
		w.env[name] = value
	}
	s.SetRole("node", profileKey)
	s.AddKey(staticKey)
	w.env["AWS_ACCESS_KEY_ID"], w.env["AWS_SECRET_ACCESS_KEY"] = staticKey.ID, staticKey.Secret
	return w
}

func (w *world) getenv(name string) string { return w.env[name] }

// Inject injects a fault. Of one that only ends with our patience, chains that
// are made afterwards have little.
func (w *world) Inject(f fakeaws.Fault) {
	w.impatient = w.impatient || f.Hang || f.Drip > 0
	w.Server.Inject(f)
}

// chain is a chain that leads to the fake.
func (w *world) chain(t testing.TB, o Options) *Chain {
	t.Helper()
	if !strings.HasPrefix(w.env[envMetadata], "http://127.0.0.1:") {
		t.Fatalf("%s is %q: tests may only ask this machine", envMetadata, w.env[envMetadata])
	}
	o.Getenv = w.getenv
	c := NewChain(o)
	if w.impatient {
		c.metadata().times = metadataTimes{first: 700 * time.Millisecond, later: time.Second, onEC2: 1500 * time.Millisecond}
		c.caller().limit = 1500 * time.Millisecond
	}
	return c
}
