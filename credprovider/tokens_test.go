package credprovider

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/berth-registry/berth/credprovider/ecr"
	"github.com/berth-registry/berth/credprovider/ecr/client"
	"github.com/berth-registry/berth/internal/filelock"
	"github.com/berth-registry/berth/internal/redact"
	"github.com/berth-registry/berth/test/fakes/fakeaws"
)

// get is Get, which must give a token from the key named.
func (n *node) get(t *testing.T, keyID string) Token {
	t.Helper()
	token, err := n.Get(context.Background(), registry(t, usEast))
	if err != nil {
		t.Fatal(err)
	}
	if issued, ok := n.Token(token.Password.Reveal()); !ok || issued.KeyID != keyID {
		t.Fatalf("the token is of %q, want %q", issued.KeyID, keyID)
	}
	return token
}

// calls counts requests to ECR, and to the metadata service for a session.
func (n *node) calls() (ecrCalls, sessions int) {
	return n.Count(fakeaws.ECR, ""), n.Count(fakeaws.MetadataToken, "")
}

func TestColdThenWarm(t *testing.T) {
	n := newNode(t)
	first := n.get(t, profileKey.ID)
	second := n.get(t, profileKey.ID)
	if first.Password != second.Password || first.Source != "instance profile" || second.Source != first.Source {
		t.Errorf("%+v, then %+v", first, second)
	}
	if !first.Expires.Equal(second.Expires) {
		t.Errorf("expires %s, then %s", first.Expires, second.Expires)
	}
	if calls, sessions := n.calls(); calls != 1 || sessions != 1 {
		t.Errorf("%d calls of ECR, %d sessions", calls, sessions)
	}
	for path, mode := range map[string]fs.FileMode{n.Dir: fs.ModeDir | 0o700, n.file("profile"): 0o600} {
		info, err := os.Lstat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != mode {
			t.Errorf("%s has mode %s, want %s", path, info.Mode(), mode)
		}
	}
	// The same token is for another registry of the region.
	other, err := n.Get(context.Background(), registry(t, "444455556666.dkr-ecr.us-east-1.on.aws"))
	if err != nil || other.Password != first.Password {
		t.Errorf("another account: %v", err)
	}
	// It is not for another region or the public registry.
	for _, host := range []string{"111122223333.dkr.ecr.eu-west-1.amazonaws.com", "public.ecr.aws"} {
		if other, err := n.Get(context.Background(), registry(t, host)); err != nil || other.Password == first.Password {
			t.Errorf("%s: %v", host, err)
		}
	}
}

func TestManyAtOnceMakeOneCall(t *testing.T) {
	n := newNode(t)
	n.SetLatency(fakeaws.ECR, 100*time.Millisecond)
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if _, err := n.Get(context.Background(), registry(t, usEast)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if calls, _ := n.calls(); calls != 1 {
		t.Errorf("%d calls of ECR", calls)
	}
}

func TestFailureIsRemembered(t *testing.T) {
	n := newNode(t)
	n.Inject(fakeaws.Fault{Point: fakeaws.ECR, Status: 400, Code: "AccessDeniedException"})
	r := registry(t, usEast)
	for range 3 {
		if _, err := n.Get(context.Background(), r); !errors.Is(err, ecr.Denied) {
			t.Fatal(err)
		}
	}
	if calls, _ := n.calls(); calls != 2 {
		t.Errorf("%d calls of ECR, want one for each source", calls)
	}
	n.Heal()
	n.advance(11 * time.Second)
	n.get(t, profileKey.ID)
}

func TestVerdictAndLookingAgain(t *testing.T) {
	n := newNode(t)
	n.SetRole("", fakeaws.Key{})
	static := n.get(t, staticKey.ID)
	if static.Source != "static keys" || static.Identity == "profile" {
		t.Errorf("%+v", static)
	}
	n.advance(4 * time.Minute)
	n.get(t, staticKey.ID)
	if calls, sessions := n.calls(); calls != 1 || sessions != 1 {
		t.Errorf("%d calls of ECR, %d sessions before it is time to look again", calls, sessions)
	}
	n.advance(2 * time.Minute)
	n.get(t, staticKey.ID)
	n.get(t, staticKey.ID)
	if calls, sessions := n.calls(); calls != 1 || sessions != 2 {
		t.Errorf("%d calls of ECR, %d sessions after looking again", calls, sessions)
	}
	n.SetRole("node", profileKey)
	n.advance(6 * time.Minute)
	n.get(t, profileKey.ID)
}

// TestLookingAgainDelaysNobodyElse: on a busy machine some calls take as long as the one that asks
// the better source, but not half of them each time.
func TestLookingAgainDelaysNobodyElse(t *testing.T) {
	var slow int
	for range 5 {
		if slow = lookAgainTogether(t); slow >= 1 && slow <= 10 {
			return
		}
	}
	t.Errorf("%d of 20 waited for the metadata service, want 1", slow)
}

// lookAgainTogether returns how many of 20 calls took as long as the metadata service, which hangs.
func lookAgainTogether(t *testing.T) int {
	t.Helper()
	n := newNode(t)
	n.SetRole("", fakeaws.Key{})
	n.get(t, staticKey.ID)
	n.advance(6 * time.Minute)
	n.Inject(fakeaws.Fault{Point: fakeaws.MetadataToken, Hang: true})
	_, before := n.calls()
	var slow atomic.Int32
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			begin := time.Now()
			if _, err := n.Get(context.Background(), registry(t, usEast)); err != nil {
				t.Error(err)
			}
			if time.Since(begin) >= 900*time.Millisecond { // the metadata service is given a second
				slow.Add(1)
			}
		})
	}
	wg.Wait()
	if _, asked := n.calls(); asked-before != 1 {
		t.Errorf("%d asked the metadata service, want 1", asked-before)
	}
	return int(slow.Load())
}

func TestMargin(t *testing.T) {
	n := newNode(t)
	first := n.get(t, profileKey.ID)
	n.advance(12*time.Hour - 6*time.Minute)
	if again := n.get(t, profileKey.ID); again.Password != first.Password {
		t.Error("renewed six minutes before its expiry")
	}
	n.advance(2 * time.Minute)
	if again := n.get(t, profileKey.ID); again.Password == first.Password {
		t.Error("served four minutes before its expiry")
	}
	// Of a short life it is a tenth.
	n.SetTokenLife(10 * time.Minute)
	n.advance(12 * time.Hour)
	short := n.get(t, profileKey.ID)
	n.advance(8*time.Minute + 30*time.Second)
	if again := n.get(t, profileKey.ID); again.Password != short.Password {
		t.Error("renewed 90 seconds before the end of ten minutes")
	}
	n.advance(time.Minute)
	if again := n.get(t, profileKey.ID); again.Password == short.Password {
		t.Error("served 30 seconds before the end of ten minutes")
	}
}

func TestClockPutBack(t *testing.T) {
	n := newNode(t)
	n.advance(24 * time.Hour)
	first := n.get(t, profileKey.ID)
	n.advance(-24 * time.Hour)
	if again := n.get(t, profileKey.ID); again.Password == first.Password {
		t.Error("a token from the future is believed")
	}
}

func TestUnusableFilesAreSetAside(t *testing.T) {
	token := `"token":{"username":"AWS","password":"canary","issued":"2026-01-01T00:00:00Z","expires":"2099-01-01T00:00:00Z"}`
	named := `"service":"ecr","identity":"profile","region":"us-east-1"`
	for name, plant := range map[string]func(path string) error{
		"garbage":       file("canary"),
		"empty":         file(""),
		"truncated":     file(`{"version":1,` + named + `,` + token),
		"future format": file(`{"version":2,` + named + `,` + token + `}`),
		"other region":  file(`{"version":1,"service":"ecr","identity":"profile","region":"eu-west-1",` + token + `}`),
		"no password":   file(`{"version":1,` + named + `,"token":{"username":"AWS","issued":"2026-01-01T00:00:00Z","expires":"2099-01-01T00:00:00Z"}}`),
		"too large":     file(strings.Repeat(" ", maxTokenFile+1)),
		"directory":     func(path string) error { return os.Mkdir(path, 0o700) },
		"symlink":       func(path string) error { return os.Symlink("/etc/hostname", path) },
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t)
			var log bytes.Buffer
			n.Log = slog.New(slog.NewTextHandler(&log, nil))
			if err := errors.Join(os.MkdirAll(n.Dir, 0o700), plant(n.file("profile"))); err != nil {
				t.Fatal(err)
			}
			n.get(t, profileKey.ID)
			n.get(t, profileKey.ID)
			if calls, _ := n.calls(); calls != 1 {
				t.Errorf("%d calls of ECR", calls)
			}
			if _, err := os.Lstat(n.file("profile") + ".set-aside"); err != nil {
				t.Error(err)
			}
			if !strings.Contains(log.String(), "token file set aside") || strings.Contains(log.String(), "canary") {
				t.Errorf("logged: %s", &log)
			}
		})
	}
}

func file(content string) func(string) error {
	return func(path string) error { return os.WriteFile(path, []byte(content), 0o600) }
}

func TestLeftoverTemporaryFileIsNoObstacle(t *testing.T) {
	n := newNode(t)
	if err := errors.Join(os.MkdirAll(n.Dir, 0o755), file("half")(n.file("profile")+".tmp")); err != nil {
		t.Fatal(err)
	}
	n.get(t, profileKey.ID)
	entries, err := os.ReadDir(n.Dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".tmp") {
			t.Errorf("%s is left", e.Name())
		}
	}
	if info, err := os.Stat(n.Dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the directory that others could read stays so: %v, %v", info.Mode(), err)
	}
}

func TestUnusableDirectoryFailsNoPull(t *testing.T) {
	n := newNode(t)
	if err := errors.Join(os.MkdirAll(filepath.Dir(n.Dir), 0o700), file("in the way")(n.Dir)); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	n.Log = slog.New(slog.NewTextHandler(&log, nil))
	n.get(t, profileKey.ID)
	if !strings.Contains(log.String(), "token files cannot be used") {
		t.Errorf("logged: %s", &log)
	}
}

// A token that cannot be stored is used, and the log has the reason why the next pull must ask
// again.
func TestUnwritableTokenFileFailsNoPull(t *testing.T) {
	n := newNode(t)
	if err := os.MkdirAll(filepath.Join(n.file("profile")+".tmp", "in the way"), 0o700); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	n.Log = slog.New(slog.NewTextHandler(&log, nil))
	n.get(t, profileKey.ID)
	if strings.Count(log.String(), "token file cannot be written") != 1 || strings.Contains(log.String(), "canary") {
		t.Errorf("logged: %s", &log)
	}
}

// TestKilledLockHolder: the kernel frees the lock of a process that dies, and a waiting process
// gets it within a second; on a busy machine not each time.
func TestKilledLockHolder(t *testing.T) {
	var delay time.Duration
	for range 5 {
		if delay = killLockHolder(t); delay <= time.Second {
			return
		}
	}
	t.Errorf("a killed holder delays the next by %s", delay)
}

// killLockHolder returns the time between the death of the holder and the token of another process.
func killLockHolder(t *testing.T) time.Duration {
	t.Helper()
	n := newNode(t)
	if err := ensureDir(n.Dir); err != nil {
		t.Fatal(err)
	}
	holder := exec.Command(os.Args[0])
	holder.Env = append(os.Environ(), lockVar+"="+n.Dir)
	out, err := holder.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 8)); err != nil {
		t.Fatal(err)
	}
	done := make(chan time.Time, 1)
	go func() {
		defer close(done)
		if _, err := n.Get(context.Background(), registry(t, usEast)); err != nil {
			t.Error(err)
		}
		done <- time.Now()
	}()
	select {
	case <-done:
		t.Fatal("the lock is not respected")
	case <-time.After(500 * time.Millisecond):
	}
	killed := time.Now()
	if err := holder.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = holder.Wait() // "signal: killed"
	return (<-done).Sub(killed)
}

func TestWaitingEndsWithTheContext(t *testing.T) {
	n := newNode(t)
	if err := ensureDir(n.Dir); err != nil {
		t.Fatal(err)
	}
	// An earlier version holds the lock of the region.
	lock, err := tryLock(n.Dir, "ecr_us-east-1.lock", filelock.Exclusive)
	if err != nil || lock == nil {
		t.Fatal(err)
	}
	defer lock.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	if _, err := n.Get(ctx, registry(t, usEast)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	if calls := n.Count(fakeaws.ECR, ""); calls != 0 {
		t.Errorf("%d calls beside the earlier version", calls)
	}
}

// TestAnotherIdentityHangs: while AWS does not answer one identity, another one of the same region
// gets its token, and who may ask for both waits.
func TestAnotherIdentityHangs(t *testing.T) {
	n := newNode(t)
	source := func(k fakeaws.Key) ecr.Source {
		return ecr.Source{Static: &ecr.StaticKeys{AccessKeyID: redact.New(k.ID), SecretAccessKey: redact.New(k.Secret), SessionToken: redact.New(k.Session)}}
	}
	chain := func(sources ...ecr.Source) *ecr.Chain {
		env := func(name string) string {
			return map[string]string{"AWS_ENDPOINT_URL_ECR": n.APIURL(), "AWS_ENDPOINT_URL_STS": n.APIURL()}[name]
		}
		return ecr.NewChain(ecr.Options{Sources: sources, Getenv: env, Client: client.New(client.Options{Getenv: env, Now: n.clock}), Now: n.clock})
	}
	get := func(ctx context.Context, c *ecr.Chain) (Token, error) {
		return (&Tokens{Dir: n.Dir, Chain: c, Now: n.clock}).Get(ctx, registry(t, usEast))
	}
	n.Inject(fakeaws.Fault{Point: fakeaws.ECR, KeyID: profileKey.ID, Hang: true})
	hanging, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, 1)
	go func() {
		_, err := get(hanging, chain(source(profileKey)))
		ended <- err
	}()
	for n.Count(fakeaws.ECR, profileKey.ID) == 0 {
		time.Sleep(time.Millisecond)
	}
	if _, err := get(t.Context(), chain(source(staticKey))); err != nil {
		t.Errorf("while another identity waits for AWS: %v", err)
	}
	if err := os.Remove(n.file(identityOf(t, chain(source(staticKey))))); err != nil {
		t.Fatal(err)
	}
	brief, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := get(brief, chain(source(staticKey), source(profileKey))); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("who may ask for both: %v", err)
	}
	select {
	case err := <-ended:
		t.Errorf("the first did not hang: %v", err)
	default:
		stop()
		<-ended
	}
	if own, other := n.Count(fakeaws.ECR, staticKey.ID), n.Count(fakeaws.ECR, profileKey.ID); own != 1 || other != 1 {
		t.Errorf("%d and %d calls", own, other)
	}
}

func identityOf(t *testing.T, c *ecr.Chain) string {
	t.Helper()
	id := c.Identity(0)
	if id.Err != nil {
		t.Fatal(id.Err)
	}
	return id.Name
}

func TestRenew(t *testing.T) {
	n := newNode(t)
	ctx, r := context.Background(), registry(t, usEast)
	first := n.get(t, profileKey.ID)
	renewed, err := n.Renew(ctx, r)
	if err != nil || renewed.Password == first.Password {
		t.Fatalf("not renewed: %v", err)
	}
	if got := n.get(t, profileKey.ID); got.Password != renewed.Password {
		t.Error("the renewed token is not the one that is served")
	}
	// A failure leaves the token in use, asks no other source, and does not
	// stop the next attempt.
	n.Inject(fakeaws.Fault{Point: fakeaws.ECR, Status: 500})
	if _, err := n.Renew(ctx, r); !errors.Is(err, ecr.Busy) {
		t.Errorf("%v", err)
	}
	if got := n.get(t, profileKey.ID); got.Password != renewed.Password {
		t.Error("a failed renewal loses the token")
	}
	if calls := n.Count(fakeaws.ECR, staticKey.ID); calls != 0 {
		t.Errorf("%d calls with static keys", calls)
	}
	n.Heal()
	if again, err := n.Renew(ctx, r); err != nil || again.Password == renewed.Password {
		t.Errorf("the remembered failure stops the next attempt: %v", err)
	}
}

// TestOddTokenFiles: a token or reason that AWS cannot have given is neither used nor shown.
func TestOddTokenFiles(t *testing.T) {
	const issued = `"issued":"2026-01-01T00:00:00Z"`
	const expires = `"expires":"2026-01-01T12:00:00Z"`
	for name, c := range map[string]struct {
		is string
		ok bool
	}{
		"a token":                 {`"token":{"username":"AWS","password":"x",` + issued + `,` + expires + `}`, true},
		"an expiry in 9999":       {`"token":{"username":"AWS","password":"x",` + issued + `,"expires":"9999-12-31T23:59:59Z"}`, false},
		"never issued":            {`"token":{"username":"AWS","password":"x",` + expires + `}`, false},
		"a line break":            {`"token":{"username":"AWS","password":"x\ny",` + issued + `,` + expires + `}`, false},
		"an escape":               {`"token":{"username":"A\u001b[31mWS","password":"x",` + issued + `,` + expires + `}`, false},
		"no password":             {`"token":{"username":"AWS","password":"",` + issued + `,` + expires + `}`, false},
		"a reason":                {`"verdict":{"outcome":"no role","message":"ask: no role","at":"2026-01-01T00:00:00Z","until":"2026-01-01T00:05:00Z"}`, true},
		"a reason until 9999":     {`"verdict":{"outcome":"no role","at":"2026-01-01T00:00:00Z","until":"9999-12-31T23:59:59Z"}`, false},
		"a reason with an escape": {`"verdict":{"outcome":"no role","message":"\u001b[2J","at":"2026-01-01T00:00:00Z","until":"2026-01-01T00:05:00Z"}`, false},
	} {
		content := `{"version":1,"service":"ecr","identity":"profile","region":"us-east-1",` + c.is + `}`
		_, err := parseTokenFile([]byte(content), scope{"ecr", "us-east-1"}, "profile")
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestTokensOfOthers: the files of a directory that others may write to are not used; the token
// comes from AWS.
func TestTokensOfOthers(t *testing.T) {
	n := newNode(t)
	first := n.get(t, profileKey.ID)
	for _, spoil := range []func() error{
		func() error { return os.Chmod(n.Dir, 0o777) },
		func() error { return errors.Join(os.Chmod(n.Dir, 0o700), os.Chown(n.Dir, 4711, -1)) },
	} {
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		if again := n.get(t, profileKey.ID); again.Password == first.Password {
			t.Error("the file is believed")
		}
	}
	if err := os.Chown(n.Dir, os.Geteuid(), -1); err != nil {
		t.Fatal(err)
	}
	if again := n.get(t, profileKey.ID); again.Password != first.Password {
		t.Error("the file is not used though the directory is ours again")
	}
}

func FuzzParseTokenFile(f *testing.F) {
	f.Add([]byte(`{"version":1,"service":"ecr","identity":"profile","region":"us-east-1","token":{"username":"AWS","password":"x","issued":"2026-01-01T00:00:00Z","expires":"2026-01-01T12:00:00Z"}}`))
	f.Add([]byte(`{"version":1,"service":"ecr","identity":"profile","region":"us-east-1","verdict":{"outcome":"no role","until":"9999-12-31T23:59:59Z"}}`))
	f.Add([]byte(`{"version":2}`))
	now := time.Date(2026, 1, 1, 6, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, b []byte) {
		file, err := parseTokenFile(b, scope{"ecr", "us-east-1"}, "profile")
		if err != nil {
			if !errors.Is(err, errUnusableFile) {
				t.Errorf("%v", err)
			}
			return
		}
		if token, ok := file.usable(now); ok && (token.Username == "" || token.Password.IsZero() || !token.Expires.After(now)) {
			t.Errorf("served: %+v", token)
		}
	})
}
