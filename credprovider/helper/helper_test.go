package helper

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/berth-registry/berth/credprovider"
)

// TestMain is also the stand-in for a credential helper: a copy of the test program that a variable
// tells what to do.
func TestMain(m *testing.M) {
	if do := os.Getenv(behaviourVar); do != "" {
		behave(do)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

const (
	behaviourVar = "BERTH_TEST_HELPER"
	groupVar     = "BERTH_TEST_HELPER_GROUP" // the file that gets the process group
	canary       = "canary-secret"
)

func jwt(exp string) string {
	enc := base64.RawURLEncoding.EncodeToString
	return enc([]byte(`{"alg":"RS256"}`)) + "." + enc([]byte(`{"exp":`+exp+`}`)) + "." + enc([]byte("sig"))
}

func answer(server, username, secret string) string {
	return fmt.Sprintf(`{"ServerURL":%q,"Username":%q,"Secret":%q}`, server, username, secret)
}

// behave is one faulty or correct helper: "kind number".
func behave(do string) {
	if file := os.Getenv(groupVar); file != "" {
		if err := os.WriteFile(file, []byte(strconv.Itoa(os.Getpid())), 0o600); err != nil {
			os.Exit(99)
		}
	}
	kind, arg, _ := strings.Cut(do, " ")
	n, _ := strconv.Atoi(arg)
	fmt.Fprintln(os.Stderr, canary)
	key, _ := io.ReadAll(os.Stdin)
	host := strings.TrimSpace(string(key))
	good := answer(host, "user", canary)
	switch kind {
	case "good":
		fmt.Print(good)
	case "hang":
		fmt.Print(canary)
		time.Sleep(time.Hour)
	case "drip":
		for {
			fmt.Print(" ")
			time.Sleep(5 * time.Millisecond)
		}
	case "exit":
		fmt.Print(canary)
		os.Exit(n)
	case "none":
		fmt.Println(noLogin)
		os.Exit(1)
	case "kill":
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		time.Sleep(time.Hour)
	case "garbage":
		fmt.Print(canary, strings.Repeat("x", n))
	case "large":
		line := strings.Repeat(canary, 1000)
		for range 10 << 20 / len(line) {
			fmt.Print(line)
		}
	case "other":
		fmt.Print(answer(fmt.Sprintf("https://evil%d.corp", n), "user", canary))
	case "child":
		child := exec.Command("/bin/sh", "-c", "sleep 3600")
		child.Stdout = os.Stdout
		if child.Start() != nil {
			os.Exit(98)
		}
		fmt.Print(good)
	case "deaf":
		os.Stdin.Close()
		fmt.Print(good)
	case "empty":
		fmt.Print(strings.Repeat("\n", n))
	case "nosecret":
		fmt.Print(answer(host, "user", ""))
	case "identity":
		fmt.Print(answer(host, "<token>", canary))
	case "binary":
		fmt.Printf(`{"Username":"user","Secret":"%s%c"}`, canary, 0x80+n%0x40)
		os.Stdout.Write([]byte{0xff, 0xfe})
	case "control":
		fmt.Printf(`{"Username":"user","Secret":"%s\u00%02x"}`, canary, 1+n%8)
	case "numbers":
		fmt.Printf(`{"Username":"user","Secret":%s}`, strings.Repeat("9", 100+n))
	case "expired":
		fmt.Print(answer(host, "user", jwt(strconv.Itoa(1000+n))))
	case "twice":
		fmt.Print(good, good)
	}
}

// expected is the class of each behaviour, "" for an answer that is used.
var expected = map[string]Class{
	"good": "", "hang": Timeout, "drip": Timeout, "exit": ExitCode, "none": NoLogin, "kill": ExitCode, "garbage": NotJSON,
	"large": TooLarge, "other": OtherHost, "child": "", "deaf": "", "empty": Empty, "nosecret": Empty, "identity": IdentityToken,
	"binary": NotJSON, "control": Unusable, "numbers": NotJSON, "expired": Expired, "twice": NotJSON,
}

// TestFaults: 200 helpers, drawn from a seed. Each call ends, has the right class, shows nothing of
// the output, allocates less than the most that some print, and leaves no process of its group.
func TestFaults(t *testing.T) {
	kinds := []string{"good", "exit", "none", "kill", "garbage", "large", "other", "child", "deaf", "empty", "nosecret",
		"identity", "binary", "control", "numbers", "expired", "twice", "hang", "drip"}
	program := standIn(t)
	rnd := rand.New(rand.NewPCG(1, 32))
	counts := map[string]int{}
	for i := range 200 {
		kind := kinds[i%len(kinds)]
		if (kind == "hang" || kind == "drip") && i >= 3*len(kinds) {
			kind = kinds[rnd.IntN(len(kinds)-2)] // these take their whole time
		}
		counts[kind]++
		group := filepath.Join(t.TempDir(), "group")
		n := 1 + rnd.IntN(120)
		bound := time.Minute
		if kind == "hang" || kind == "drip" {
			bound = 2 * time.Second
		}
		r := Runner{Limit: bound, Environ: func() []string {
			return []string{behaviourVar + "=" + kind + " " + strconv.Itoa(n), groupVar + "=" + group, "PATH=/usr/bin:/bin",
				"GORACE=" + os.Getenv("GORACE")} // see make test: otherwise each sleeps for a second when it ends
		}}
		before := allocated()
		l, err := r.Ask(t.Context(), credprovider.HelperSource{Registry: "registry.corp:5000/team", Program: program})
		if bytes := allocated() - before; bytes > 1<<20 {
			t.Errorf("%s %d: %d bytes were allocated; the program may print %d", kind, n, bytes, maxOutput)
		}
		want := expected[kind]
		switch e, _ := errors.AsType[*Error](err); {
		case want == "" && (err != nil || l.Username != "user" || l.Password.Reveal() != canary || l.Registry != "registry.corp:5000/team"):
			t.Errorf("%s %d: %v, %v", kind, n, l, err)
		case want != "" && (e == nil || e.Class != want):
			t.Errorf("%s %d: %v, not %s", kind, n, err, want)
		case err != nil && strings.Contains(err.Error(), canary), strings.Contains(fmt.Sprintf("%+v %#v", l, err), canary):
			t.Errorf("%s %d: the output is shown: %v", kind, n, err)
		}
		checkGroupEnded(t, group)
	}
	for k := range expected {
		if counts[k] == 0 {
			t.Errorf("%s was never drawn", k)
		}
	}
}

// allocated returns how many bytes this process has allocated so far; freeing does not lower it.
func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

func checkGroupEnded(t *testing.T, file string) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return // killed before it wrote
		}
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(string(b))
	if err != nil {
		return
	}
	// A killed child counts until init has reaped it.
	for end := time.Now().Add(time.Minute); !errors.Is(syscall.Kill(-pid, 0), syscall.ESRCH); {
		if time.Now().After(end) {
			t.Fatal("a process of the group is left")
		}
		time.Sleep(time.Millisecond)
	}
}

// standIn copies the test program to a directory that only this user can write to.
func standIn(t *testing.T) string {
	t.Helper()
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "docker-credential-standin")
	if err := os.WriteFile(path, self, 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestServerKey(t *testing.T) {
	for registry, want := range map[string]string{
		"docker.io": "https://index.docker.io/v1/", "docker.io/team": "https://index.docker.io/v1/",
		"gcr.io/p": "gcr.io", "registry.corp:5000": "registry.corp:5000",
	} {
		if got := ServerKey(registry); got != want {
			t.Errorf("%s: %s", registry, got)
		}
	}
	for _, ok := range []string{"gcr.io", "https://gcr.io", "https://GCR.io:443/v2/"} {
		if !names(ok, "gcr.io") {
			t.Errorf("%s is not gcr.io", ok)
		}
	}
	if names("https://gcr.io.evil", "gcr.io") || !names("https://index.docker.io/v1/", "docker.io") {
		t.Error("names")
	}
}

func TestFind(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "docker-credential-x")
	write := func(mode os.FileMode) {
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	class := func(program, list string) Class {
		_, err := Find(program, []string{"PATH=" + list})
		if e, ok := errors.AsType[*Error](err); ok {
			return e.Class
		}
		return ""
	}
	write(0o755)
	if got := class("x", "relative:.::"+dir); got != "" {
		t.Error(got)
	}
	t.Chdir(dir)
	if got := class("x", ".::relative"); got != NotFound {
		t.Errorf("the working directory is searched: %q", got)
	}
	for _, mode := range []os.FileMode{0o775, 0o757} {
		write(mode)
		if got := class(path, ""); got != Refused {
			t.Errorf("mode %o: %q", mode, got)
		}
	}
	write(0o644)
	if got := class(path, ""); got != Refused {
		t.Errorf("not executable: %q", got)
	}
	write(0o755)
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if got := class(path, ""); got != Refused {
		t.Errorf("others can replace it: %q", got)
	}
	if got := class(dir, ""); got != Refused {
		t.Errorf("a directory: %q", got)
	}
	if got := class(filepath.Join(dir, "none"), ""); got != NotFound {
		t.Errorf("missing: %q", got)
	}
}

func TestExpiry(t *testing.T) {
	if got := expiry(jwt("2000000000")); !got.Equal(time.Unix(2000000000, 0)) {
		t.Error(got)
	}
	for _, secret := range []string{"a.b.c", "opaque", jwt("1e300"), jwt(`"x"`), jwt("-5"), jwt(strings.Repeat("9", 1000))} {
		if got := expiry(secret); !got.IsZero() {
			t.Errorf("%.40s: %s", secret, got)
		}
	}
}

func TestEnvironment(t *testing.T) {
	got := strings.Join(environment([]string{"HOME=/root", "AWS_SECRET_ACCESS_KEY=s", "NOTIFY_SOCKET=/run/s", "VAULT_TOKEN=v", "AZURE_TENANT_ID=a"}), " ")
	if got != "HOME=/root VAULT_TOKEN=v AZURE_TENANT_ID=a" {
		t.Error(got)
	}
}
