package startup

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/berth-registry/berth/internal/kubeapi"
	"github.com/berth-registry/berth/test/fakes/fakekube"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type object = fakekube.Object

const key = "startup-taint.cluster-autoscaler.kubernetes.io/berth"

// fixture is an API server with controllers, in a bubble of synctest.
type fixture struct {
	*testing.T
	*fakekube.Server
	dir        string
	logs       logs
	controller *Controller // the last one
}

// logs is what all controllers have logged, as lines of JSON.
type logs struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// with returns the records with a message.
func (l *logs) with(message string) (found []map[string]any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.text.String()) {
		var record map[string]any
		if json.Unmarshal([]byte(line), &record) == nil && record["msg"] == message {
			found = append(found, record)
		}
	}
	return found
}

func newFixture(t *testing.T, dir string) *fixture {
	t.Helper()
	api, err := fakekube.Start(dir)
	if err != nil {
		t.Fatal(err)
	}
	return &fixture{T: t, Server: api, dir: dir}
}

// start runs a controller and returns a function that ends it.
func (f *fixture) start(failOpen time.Duration) (stop func()) {
	f.Helper()
	client, err := kubeapi.New(f.Address(), f.dir, f.Dial)
	if err != nil {
		f.Fatal(err)
	}
	ctx, cancel := context.WithCancel(f.Context())
	c := New(Options{
		API: client, Key: key, Namespace: "kube-system", Selector: "app=berth", FailOpen: failOpen,
		Log: slog.New(slog.NewJSONHandler(&f.logs, nil)),
	})
	f.controller = c
	var running sync.WaitGroup
	running.Go(func() { c.Run(ctx) })
	return func() {
		cancel()
		running.Wait()
		client.Close()
	}
}

// join makes a node that has the taint, and others. It ends an earlier life of that name.
func (f *fixture) join(name string, others ...string) {
	f.Join(name, append([]string{key}, others...)...)
}
