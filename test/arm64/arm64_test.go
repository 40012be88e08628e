//go:build e2e

package arm64

import (
	"bufio"
	"bytes"
	"context"
	"debug/elf"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	emulator = "qemu-aarch64-static"
	root     = "../.."
	version  = "v1.2.3"
	password = "correct horse"
	// patience is far more than an emulated program takes on a busy machine.
	patience = 5 * time.Minute
)

// TestPrograms does with each program for arm64 what the one for this machine does, and compares.
func TestPrograms(t *testing.T) {
	for _, kind := range []struct {
		name string
		make func(t *testing.T) string
	}{
		{"programs", func(t *testing.T) string {
			dir := t.TempDir()
			output(t, exec.Command("test/release/build.sh", "arm64", dir))
			return dir
		}},
		{"deb", func(t *testing.T) string {
			return unpack(t, "deb", `dpkg-deb -x "$1" "$2"`)
		}},
		{"rpm", func(t *testing.T) string {
			// rpm2cpio ends with 1 for a package without a signature; a broken one gives cpio nothing.
			return unpack(t, "rpm", `(rpm2cpio "$1" || true) | (cd "$2" && cpio --quiet --no-absolute-filenames -idm)`)
		}},
	} {
		t.Run(kind.name, func(t *testing.T) {
			dir := kind.make(t)
			versions(t, dir)
			n := newNode(t, dir)
			n.plan()
			n.provider()
			n.doctor()
			n.agent()
		})
	}
}

// unpack makes the package of a format, unpacks it, and returns the directory of its programs.
func unpack(t *testing.T, format, script string) string {
	t.Helper()
	dir, tree := t.TempDir(), t.TempDir()
	file := strings.TrimSpace(output(t, exec.Command("test/release/package.sh", "-o", dir, "-a", "arm64", "-f", format)))
	output(t, exec.Command("bash", "-euo", "pipefail", "-c", script, "bash", file, tree))
	return filepath.Join(tree, "usr/bin")
}

// output runs a command in the directory of the repository.
func output(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	var stderr bytes.Buffer
	cmd.Dir, cmd.Stderr = root, &stderr
	cmd.Env = append(os.Environ(), "VERSION="+version)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s%s", cmd, err, out, &stderr)
	}
	return string(out)
}

// versions starts each program. They are for the other processor, or this test shows nothing.
func versions(t *testing.T, dir string) {
	t.Helper()
	for _, name := range []string{"berth", "berth-credential-provider", "berth-ecr-token", "docker-credential-berth"} {
		file := filepath.Join(dir, name)
		program, err := elf.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		if program.Machine != elf.EM_AARCH64 {
			t.Fatalf("%s is for %s", file, program.Machine)
		}
		if err := program.Close(); err != nil {
			t.Fatal(err)
		}
		if out := output(t, exec.Command(emulator, file, "--version")); !strings.Contains(out, version) {
			t.Errorf("%s --version: %q, want %s", name, out, version)
		}
	}
}

// node is a root with a config, for the programs of both processors.
type node struct {
	*testing.T
	dir, root, config string
}

func newNode(t *testing.T, dir string) *node {
	t.Helper()
	n := &node{T: t, dir: dir, root: t.TempDir(), config: filepath.Join(t.TempDir(), "config.yaml")}
	config := fmt.Sprintf(`apiVersion: berth/v1alpha1
kind: RegistryConfig
mirrors:
- upstream: docker.io
  endpoints:
  - url: https://mirror.example.com/hub
registries:
- {host: registry.example.com, username: robot, password: %q, auth: basic}
health: {mode: off}
`, password)
	if err := os.WriteFile(n.config, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return n
}

// here is a program for this machine, there the same for arm64.
func (n *node) here(variable string, args ...string) *exec.Cmd {
	n.Helper()
	program := os.Getenv(variable)
	if program == "" {
		n.Fatalf("%s is not set; run make matrix", variable)
	}
	return exec.Command(program, args...)
}

func (n *node) there(program string, args ...string) *exec.Cmd {
	return exec.Command(emulator, append([]string{filepath.Join(n.dir, program)}, args...)...)
}

// answer is what a program prints, and its exit code.
func (n *node) answer(cmd *exec.Cmd, stdin string) string {
	n.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &stdout, &stderr
	_ = cmd.Run() // the exit code says it
	if cmd.ProcessState == nil {
		n.Fatalf("%s did not start", cmd)
	}
	if stderr.Len() > 0 {
		n.Logf("%s: %s", cmd, &stderr)
	}
	return fmt.Sprintf("%sexit code %d\n", &stdout, cmd.ProcessState.ExitCode())
}

func (n *node) equal(what, there, here string) {
	n.Helper()
	if there != here {
		n.Errorf("%s: with arm64\n%s\nand here\n%s", what, there, here)
	}
}

// plan compares what both would write, and then writes with the one for arm64.
func (n *node) plan() {
	n.Helper()
	args := []string{"plan", "--root", n.root, "--config", n.config}
	plan := n.answer(n.there("berth", args...), "")
	if !strings.Contains(plan, "mirror.example.com") || !strings.HasSuffix(plan, "exit code 1\n") {
		n.Errorf("berth plan shows no change: %s", plan)
	}
	n.equal("berth plan", plan, n.answer(n.here("BERTH_BIN", args...), ""))
	args[0] = "apply"
	if out := n.answer(n.there("berth", args...), ""); !strings.HasSuffix(out, "exit code 0\n") {
		n.Fatalf("berth apply: %s", out)
	}
	hosts, err := os.ReadFile(filepath.Join(n.root, "etc/containerd/certs.d/docker.io/hosts.toml"))
	if err != nil || !strings.Contains(string(hosts), "https://mirror.example.com/") {
		n.Errorf("after berth apply: %v\n%s", err, hosts)
	}
	args[0] = "plan"
	if out := n.answer(n.here("BERTH_BIN", args...), ""); !strings.HasSuffix(out, "exit code 0\n") {
		n.Errorf("berth plan of this machine differs from what arm64 has written: %s", out)
	}
}

// provider makes a request as kubelet does, for an image with a login and for one without.
func (n *node) provider() {
	n.Helper()
	args := []string{"--root", n.root, "--rules", filepath.Join(n.root, "var/lib/berth/provider.json"), "--run-dir", filepath.Join(n.root, "run/berth/tokens")}
	for image, given := range map[string]bool{"registry.example.com/team/app:v1": true, "quay.io/team/app:v1": false} {
		request := fmt.Sprintf(`{"apiVersion": "credentialprovider.kubelet.k8s.io/v1", "kind": "CredentialProviderRequest", "image": %q}`, image)
		got := n.answer(n.there("berth-credential-provider", args...), request)
		if strings.Contains(got, password) != given {
			n.Errorf("%s: a login must be given: %t, and the answer is %s", image, given, got)
		}
		n.equal("the provider's answer for "+image, got, n.answer(n.here("BERTH_PROVIDER_BIN", args...), request))
	}
}

func (n *node) doctor() {
	n.Helper()
	args := []string{"doctor", "--root", n.root, "--config", n.config, "-o", "json"}
	got := n.answer(n.there("berth", args...), "")
	if !strings.Contains(got, `"name": "config"`) && !strings.Contains(got, `"name":"config"`) {
		n.Errorf("berth doctor: %s", got)
	}
	n.equal("berth doctor", got, n.answer(n.here("BERTH_BIN", args...), ""))
}

// agent starts the agent, waits until it is ready, lets it repair a file, and stops it.
func (n *node) agent() {
	n.Helper()
	hosts := filepath.Join(n.root, "etc/containerd/certs.d/docker.io/hosts.toml")
	if err := os.Remove(hosts); err != nil {
		n.Fatal(err)
	}
	cmd := n.there("berth", "agent", "--root", n.root, "--config", n.config, "--listen", "127.0.0.1:0")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		n.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		n.Fatal(err)
	}
	timer := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	var log bytes.Buffer
	lines := bufio.NewScanner(io.TeeReader(stderr, &log))
	address := ""
	for address == "" && lines.Scan() {
		var line struct {
			Message string `json:"msg"`
			Address string `json:"address"`
		}
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Message == "listening" {
			address = line.Address
		}
	}
	rest := make(chan struct{})
	go func() {
		defer close(rest)
		for lines.Scan() { // so that the agent can write
		}
	}()
	for _, path := range []string{"/livez", "/readyz"} {
		if err := ok(n.Context(), "http://"+address+path); err != nil {
			n.Errorf("berth agent: %v", err)
		}
	}
	if _, err := os.Stat(hosts); err != nil {
		n.Errorf("the agent is ready and has not written its file: %v", err)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		n.Error(err)
	}
	<-rest
	if err := cmd.Wait(); err != nil {
		n.Errorf("berth agent: %v", err)
	}
	if n.Failed() {
		n.Log(log.String())
	}
}

// ok waits until a page of the agent answers 200.
func ok(ctx context.Context, url string) error {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		response, err := client.Do(request)
		if err == nil {
			_ = response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return nil
			}
			err = fmt.Errorf("%s: %s", url, response.Status)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not in %s: %w", patience, err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}
