// Package kubelet tests berth-credential-provider and the files in manifests/kubelet with kubelet
// itself.
//
// TestConfigJSON runs them with logins in kubelet's own config.json; TestLogins… compares with
// kubelet's code of several versions what berth says about such files, as root.
//
// TestKeyring… runs the code with which kubelet of several versions reads its configuration, runs
// providers and caches their answers; it needs no root. TestPods runs the real kubelet and the real
// containerd, as root. parts.sh builds the programs.
package kubelet

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// eachVersion runs a test with each version of kubelet's code.
func eachVersion(t *testing.T, test func(*testing.T, part)) {
	for _, p := range built(t, "keyring") {
		t.Run(p.version, func(t *testing.T) {
			t.Parallel()
			test(t, p)
		})
	}
}

// keyring is the part of a kubelet that handles credentials. It keeps its cache while it runs.
type keyring struct {
	*testing.T
	in   io.Writer
	out  *bufio.Scanner
	logs string // path
}

// credential is a login that kubelet passes to containerd.
type credential struct{ Username, Password string }

// askTime is more than any answer takes, and less than kubelet waits.
const askTime = 40 * time.Second

// startKeyring starts kubelet's code with a configuration that it must accept.
func startKeyring(t *testing.T, p part, config, binDir string, env []string) *keyring {
	t.Helper()
	// Not the context of the test: it ends before the process gets its signal.
	ctx, cancel := context.WithTimeout(context.Background(), askTime)
	config, err := filepath.Abs(config)
	if err != nil {
		t.Fatal(err)
	}
	k := &keyring{T: t, logs: filepath.Join(t.TempDir(), "log")}
	logs, err := os.Create(k.logs)
	if err != nil {
		t.Fatal(err)
	}
	defer logs.Close()
	cmd := exec.CommandContext(ctx, p.path, "-v=5", config, binDir)
	cmd.Env = append(slices.Clone(env), "PATH=/usr/bin:/bin")
	cmd.Dir = filepath.Dir(k.logs) // until 1.32 kubelet looks for a .dockercfg there
	cmd.Stderr = logs
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	k.in, k.out = in, bufio.NewScanner(out)
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("kubelet %s: %v\n%s", p.version, err, k.log())
		}
		cancel()
	})
	return k
}

// ask returns the credentials for an image.
func (k *keyring) ask(image string) []credential {
	k.Helper()
	if _, err := fmt.Fprintln(k.in, image); err != nil {
		k.Fatal(err)
	}
	if !k.out.Scan() {
		k.Fatalf("no answer for %s: %v\n%s", image, k.out.Err(), k.log())
	}
	var a struct{ Credentials []credential }
	if err := json.Unmarshal(k.out.Bytes(), &a); err != nil {
		k.Fatal(err)
	}
	return a.Credentials
}

// one returns the only credential for an image.
func (k *keyring) one(image string) credential {
	k.Helper()
	c := k.ask(image)
	if len(c) != 1 {
		k.Fatalf("%s: %d credentials, want one\n%s", image, len(c), k.log())
	}
	return c[0]
}

// none checks that an image is pulled anonymously.
func (k *keyring) none(image string) {
	k.Helper()
	if c := k.ask(image); len(c) > 0 {
		k.Fatalf("%s: %d credentials, want none", image, len(c))
	}
}

func (k *keyring) log() string {
	raw, err := os.ReadFile(k.logs)
	if err != nil {
		return err.Error()
	}
	return string(raw)
}

// refused returns the reason for which kubelet would not start.
func refused(t *testing.T, p part, config, binDir string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), askTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, p.path, config, binDir)
	cmd.Env = []string{"PATH=/usr/bin:/bin"}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 3 {
		t.Fatalf("%s with %s: %v, want it refused\n%s", config, binDir, err, &stderr)
	}
	return strings.TrimSpace(stderr.String())
}
