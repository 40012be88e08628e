package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// TestBerth writes a RegistryConfig, runs berth apply, and pulls.
func TestBerth(t *testing.T) {
	onEachContainerd(t, programs{berth: berthBinary(t)}, slices.Concat(
		mirrorScenarios(), upstreamScenarios(), loginScenarios(), tlsScenarios(), changeScenarios()))
}

// mirrorOf returns a RegistryConfig with one mirror.
func mirrorOf(upstream string, endpoints ...string) string {
	config := fmt.Sprintf("mirrors:\n- upstream: %q\n  endpoints:\n", upstream)
	for _, url := range endpoints {
		config += fmt.Sprintf("  - url: %q\n", url)
	}
	return config
}

// only is added to a mirror whose upstream must never be asked.
const only = "  upstreamFallback: false\n"

// viaHub returns the requests of a whole pull of Docker Hub's app:v1 from a mirror.
func viaHub(f fetch) fetch {
	if f.path == "" {
		f.path = hubAPI
	}
	if f.tag == "" {
		f.tag = "v1"
	}
	f.ns = "docker.io"
	return f
}

// apply applies this RegistryConfig, given without its first two lines.
func (s *fixture) apply(config string) {
	s.Helper()
	s.writeConfig(config)
	s.run(0, "apply", "--config", s.config)
	s.secretsAreKept()
}

func (s *fixture) writeConfig(config string) {
	s.Helper()
	config = "apiVersion: berth/v1alpha1\nkind: RegistryConfig\n" + strings.TrimLeft(config, "\n")
	if err := os.WriteFile(s.config, []byte(config), 0o600); err != nil {
		s.Fatal(err)
	}
}

// run runs a verb of berth on the scenario's root and checks its exit status.
func (s *fixture) run(want int, args ...string) {
	s.Helper()
	cmd := exec.CommandContext(s.Context(), s.berth, append(args, "--root", s.root)...)
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		s.Fatal(err)
	}
	for _, secret := range s.secrets {
		if strings.Contains(output.String(), secret.password) || strings.Contains(output.String(), secret.basic) {
			s.Errorf("berth %s shows a login:\n%s", args[0], indent(output.String()))
		}
	}
	if got := cmd.ProcessState.ExitCode(); got != want {
		config, _ := os.ReadFile(s.config)
		s.Fatalf("berth %s: exit status %d, want %d\n%s\nconfig:\n%s", args[0], got, want, indent(output.String()), indent(string(config)))
	}
}
