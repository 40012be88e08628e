package client

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/berth-registry/berth/credprovider/ecr"
	"github.com/berth-registry/berth/internal/ec2"
	"github.com/berth-registry/berth/internal/proxy"
	"github.com/berth-registry/berth/test/fakes/fakeaws"
)

// TestMain keeps every test away from a real metadata service: nothing runs
// unless the environment names another one.
func TestMain(m *testing.M) {
	if os.Getenv(ec2.EnvMetadata) == "" {
		// A port where nothing listens.
		os.Setenv(ec2.EnvMetadata, "http://127.0.0.1:1")
	}
	if base := newMetadata(os.Getenv, "/sys", nil).base; !strings.HasPrefix(base, "http://127.0.0.1:") {
		fmt.Fprintf(os.Stderr, "%s is %q: tests may only ask this machine\n", ec2.EnvMetadata, base)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}

// world is a fake AWS with the environment that points to it.
type world struct {
	*fakeaws.Server
	env       map[string]string
	impatient bool
	client    *Client // of the last chain
}

var (
	profileKey = fakeaws.Key{ID: "ASIAPROFILE", Secret: "profile-secret-canary", Session: "profile-session-canary"}
	staticKey  = fakeaws.Key{ID: "AKIASTATIC", Secret: "static-secret-canary"}
)

// newWorld returns an instance with a role, and static keys in the environment.
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

// Inject injects a fault. After one that ends only with a timeout, new chains have short timeouts.
func (w *world) Inject(f fakeaws.Fault) {
	w.impatient = w.impatient || f.Hang || f.Drip > 0
	w.Server.Inject(f)
}

// chain returns a chain that asks the fake.
func (w *world) chain(t testing.TB, o ecr.Options) *ecr.Chain {
	t.Helper()
	return w.proxied(t, o, proxy.Settings{})
}

// proxied is chain with a proxy for ECR and STS.
func (w *world) proxied(t testing.TB, o ecr.Options, p proxy.Settings) *ecr.Chain {
	t.Helper()
	if !strings.HasPrefix(w.env[ec2.EnvMetadata], "http://127.0.0.1:") {
		t.Fatalf("%s is %q: tests may only ask this machine", ec2.EnvMetadata, w.env[ec2.EnvMetadata])
	}
	w.client = New(Options{Proxy: p, Getenv: w.getenv})
	if w.impatient {
		w.client.metadata().times = metadataTimes{first: 1500 * time.Millisecond, later: 2 * time.Second, onEC2: 3 * time.Second}
		w.client.limit = 3 * time.Second
	}
	o.Getenv, o.Client = w.getenv, w.client
	return ecr.NewChain(o)
}
