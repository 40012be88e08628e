package tokens

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/berth-registry/berth/credprovider"
	"github.com/berth-registry/berth/credprovider/ecr"
	"github.com/berth-registry/berth/credprovider/ecr/client"
	"github.com/berth-registry/berth/test/fakes/fakeaws"
)

var _ Source = (*credprovider.Tokens)(nil)

// buffer is a log that several goroutines write.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// TestRealFiles runs in real time with real token files, the real chain and a fake AWS: a token of
// the credential provider is adopted, and once AWS denies, tokens are no longer served before they
// expire. The wall clock is set forward for that, so that the test need not wait.
func TestRealFiles(t *testing.T) {
	aws, err := fakeaws.Start()
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := aws.Close(); err != nil {
			t.Error(err)
		}
	}()
	aws.SetRole("node", fakeaws.Key{ID: "ASIAPROFILE", Secret: "profile-secret-canary", Session: "profile-session-canary"})
	aws.SetTokenLife(6 * time.Second)
	env := map[string]string{"HOME": t.TempDir()}
	for _, e := range aws.Env() {
		name, value, _ := strings.Cut(e, "=")
		env[name] = value
	}
	dir := filepath.Join(t.TempDir(), "tokens")
	tokens := func() *credprovider.Tokens {
		return &credprovider.Tokens{Dir: dir, Chain: ecr.NewChain(ecr.Options{Getenv: func(k string) string { return env[k] }, Client: client.New(client.Options{Getenv: func(k string) string { return env[k] }})})}
	}
	west := reg(t, "444455556666.dkr.ecr.eu-west-1.amazonaws.com")
	if _, err := tokens().Get(t.Context(), west); err != nil {
		t.Fatal(err)
	}

	var log buffer
	changed := make(chan struct{}, 1)
	var ahead atomic.Int64 // of the wall clock
	now := func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	rf := New(Options{Log: slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})), Now: now, Changed: func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	}})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- rf.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	var asked time.Time // before the status that ok gets
	until := func(what string, ok func(wanted, adopted Status) bool) {
		t.Helper()
		deadline := time.After(30 * time.Second)
		for {
			asked = now()
			var wanted, adopted Status
			for _, s := range rf.Status() {
				if s.Adopted {
					adopted = s
				} else {
					wanted = s
				}
			}
			if ok(wanted, adopted) {
				return
			}
			select {
			case <-changed:
			case <-deadline:
				t.Fatalf("%s has not happened: %+v", what, rf.Status())
			}
		}
	}
	rf.Set(tokens(), []ecr.Registry{east(t)})
	until("the first token", func(w, a Status) bool { return w.Valid && a.Region == "eu-west-1" })
	var token credprovider.Token
	until("a renewal of both", func(w, a Status) bool {
		var ok bool
		token, ok = rf.Token(east(t))
		return ok && w.Renewals >= 2 && a.Renewals >= 1
	})
	if issued, ok := aws.Token(token.Password.Reveal()); !ok || issued.KeyID != "ASIAPROFILE" {
		t.Errorf("a token of %q", issued.KeyID)
	}
	aws.Inject(fakeaws.Fault{Point: fakeaws.ECR, Status: 400, Code: "AccessDeniedException"})
	ahead.Store(int64(6 * time.Second))
	rf.Rescan() // or the loop would notice within a minute
	until("the end of the token", func(w, a Status) bool {
		if asked.After(w.Expires) && w.Valid {
			t.Error("served past its expiry")
		}
		return !w.Valid && w.Failures["access_denied"] > 0 && a.Region == ""
	})
	s := rf.Status()[0]
	if !strings.Contains(s.Alarm, "access denied") || s.Failures["access_denied"] == 0 {
		t.Errorf("%+v", s)
	}
	if shown := fmt.Sprintf("%+v", rf.Status()) + log.String(); strings.Contains(shown, "canary") || strings.Contains(shown, "QVdT") {
		t.Errorf("a secret is shown: %s", shown)
	}
}
