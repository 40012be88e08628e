package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/berth-registry/berth/test/fakes/fakekube"
)

// What is wrong with the command line or the pod is one line with a remedy, and nothing is started.
func TestStartupTaintRefuses(t *testing.T) {
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	account := t.TempDir()
	const key = "--key=berth.example/starting"
	for _, c := range []struct {
		args string
		host string
		code int
		want string
	}{
		{"", "", 2, "--key"},
		{"--key=node.kubernetes.io/not-ready", "", 2, "belongs to Kubernetes"},
		{key + " --fail-open=0", "", 2, "10m, or never"},
		{key + " --fail-open=soon", "", 2, "10m, or never"},
		{key, "", 1, "KUBERNETES_SERVICE_HOST"},
		{key + " --service-account=" + account, "127.0.0.1", 1, "automountServiceAccountToken"},
	} {
		t.Setenv("KUBERNETES_SERVICE_HOST", c.host)
		t.Setenv("KUBERNETES_SERVICE_PORT", "1")
		var stdout, stderr bytes.Buffer
		code := run(append([]string{"startup-taint"}, strings.Fields(c.args)...), strings.NewReader(""), &stdout, &stderr)
		if code != c.code || !strings.Contains(stderr.String(), c.want) || strings.Count(stderr.String(), "\n") != 1 {
			t.Errorf("%s: exit code %d, want %d\n%s", c.args, code, c.code, &stderr)
		}
	}
	// A file without a certificate.
	for name, content := range map[string]string{"token": "token-canary", "ca.crt": "none"} {
		if err := os.WriteFile(filepath.Join(account, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var stdout, stderr bytes.Buffer
	code := run([]string{"startup-taint", key, "--service-account=" + account}, strings.NewReader(""), &stdout, &stderr)
	if code != 1 || !strings.Contains(stderr.String(), "ca.crt: holds no certificate") || strings.Contains(stderr.String(), "canary") {
		t.Errorf("exit code %d\n%s", code, &stderr)
	}
}

// A process that is stopped while it removes taints ends at once with exit code 0, although the API
// server does not answer. The next process removes the other taints. One that is killed leaves the
// same, with another exit code.
func TestStartupTaintStops(t *testing.T) {
	const (
		key   = "berth.example/starting"
		nodes = 40
		first = 5 // taints that the first process removes; others are on their way
	)
	for signal, code := range map[syscall.Signal]int{syscall.SIGTERM: 0, syscall.SIGKILL: -1} {
		t.Run(signal.String(), func(t *testing.T) {
			account := t.TempDir()
			api, err := fakekube.Listen(account)
			if err != nil {
				t.Fatal(err)
			}
			defer api.Close()
			for i := range nodes {
				node := fmt.Sprintf("node-%02d", i)
				api.Join(node, "example.com/gpu", key)
				api.Pod(node, "berth-"+node)
				api.Report("berth-"+node, true)
			}
			start := func() (*exec.Cmd, *bytes.Buffer) {
				cmd := asBerth(t, "startup-taint", "--key="+key, "--selector=app=berth", "--listen=127.0.0.1:0", "--service-account="+account)
				host, port, err := net.SplitHostPort(api.Address())
				if err != nil {
					t.Fatal(err)
				}
				cmd.Env = append(os.Environ(), "KUBERNETES_SERVICE_HOST="+host, "KUBERNETES_SERVICE_PORT="+port)
				stderr := &bytes.Buffer{}
				cmd.Stderr = stderr
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				return cmd, stderr
			}
			ends := func(cmd *exec.Cmd, stderr *bytes.Buffer, want int) {
				err := cmd.Wait()
				if exit, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok || cmd.ProcessState.ExitCode() != want {
					t.Errorf("%v %v: exit code %d, want %d\n%s", err, exit, cmd.ProcessState.ExitCode(), want, stderr)
				}
			}

			removed := 0
			ended, all := make(chan struct{}), make(chan struct{})
			begun := make(chan struct{})
			api.OnPatch(func(before, after fakekube.Object) { // nothing is answered until it returns
				had, has := fakekube.Taints(before), fakekube.Taints(after)
				if !slices.Equal(had, []string{"example.com/gpu", key}) || !slices.Equal(has, []string{"example.com/gpu"}) {
					t.Errorf("taints %q became %q", had, has)
				}
				switch removed++; removed {
				case first:
					close(begun)
					<-ended
				case nodes:
					close(all)
				}
			})
			cmd, stderr := start()
			<-begun
			if err := cmd.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
			ends(cmd, stderr, code)
			close(ended)

			cmd, stderr = start()
			<-all
			if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			ends(cmd, stderr, 0)
			if n := strings.Count(stderr.String(), `"msg":"taint removed"`); n == 0 || n > nodes-first {
				t.Errorf("the second process has removed %d taints\n%s", n, stderr)
			}
		})
	}
}
