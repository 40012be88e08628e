package reconcile

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/credprovider"
	"github.com/berth-registry/berth/hostsconf"
	"github.com/berth-registry/berth/internal/managedfile"
	"github.com/berth-registry/berth/test/nodetest"
)

// Between the first and the last file that changes, the provider must not give a credential
// that one of the two states would send to a wrong host. A process that is killed then leaves
// these rules on disk.
func TestTransitionRulesHoldBeforeAndAfter(t *testing.T) {
	const (
		catchAll = "mirrors: [{upstream: \"*\", endpoints: [{url: catch.corp}]}]\n"
		ghcr     = "registries: [{host: ghcr.io, username: u, password: p, auth: token}]\n"
		only     = "mirrors: [{upstream: docker.io, endpoints: [{url: mirror.corp}], upstreamFallback: false}]\n" +
			"registries: [{host: mirror.corp, username: u, password: p, auth: token}]\n"
		none = ""
	)
	for name, c := range map[string]struct {
		before, after string
		image         string
		settled       string // the login that is given after the change, "" for none
	}{
		"a pass-through comes":               {catchAll, catchAll + ghcr, "ghcr.io/a/b", "ghcr.io"},
		"a pass-through is removed":          {catchAll + ghcr, ghcr, "ghcr.io/a/b", "ghcr.io"},
		"a mirror-only directory":            {none, only, "docker.io/library/x", "mirror.corp"},
		"a mirror-only directory is removed": {only, "registries: [{host: mirror.corp, username: u, password: p, auth: token}]\n", "docker.io/library/x", ""},
		"a catch-all comes":                  {none, catchAll, "111122223333.dkr.ecr.us-east-1.amazonaws.com/app", ""},
		"a catch-all is removed":             {catchAll, none, "111122223333.dkr.ecr.us-east-1.amazonaws.com/app", "111122223333.dkr.ecr.us-east-1.amazonaws.com"},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			m := open(t, root)
			if _, err := m.Apply(context.Background(), nodetest.ParseConfig(t, c.before), nil); err != nil {
				t.Fatal(err)
			}
			cfg := nodetest.ParseConfig(t, c.after)
			plan, err := m.Plan(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := m.writeTransitionRules(cfg, plan); err != nil {
				t.Fatal(err)
			}
			if got, err := nodetest.ServedLogin(t, root, c.image); err == nil {
				t.Errorf("in between, the credential of %s is given", got)
			}
			if _, err := m.Apply(context.Background(), cfg, nil); err != nil {
				t.Fatal(err)
			}
			if got, err := nodetest.ServedLogin(t, root, c.image); got != c.settled {
				t.Errorf("afterwards %q is served (%v), want %q", got, err, c.settled)
			}
		})
	}
}

// While a restore fails, and after it, no credential is given.
func TestRestoreThatFailsWithholds(t *testing.T) {
	root := t.TempDir()
	m := open(t, root)
	if _, err := m.Apply(context.Background(), nodetest.ParseConfig(t, "mirrors: [{upstream: \"*\", endpoints: [{url: catch.corp}]}]\n"), nil); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := m.Restore(ctx, config.Default()); err == nil {
		t.Fatal("a restore that was interrupted succeeded")
	}
	if got, err := nodetest.ServedLogin(t, root, "111122223333.dkr.ecr.us-east-1.amazonaws.com/app"); err == nil {
		t.Errorf("the credential of %s is given", got)
	}
	if _, err := m.Restore(context.Background(), config.Default()); err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(filepath.Join(root, "*", "*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// As long as kubelet runs the provider, restore leaves empty rules: with --require-rules no
// rules would mean no credential at all.
func TestRestoreWhileKubeletIsWired(t *testing.T) {
	for _, wiring := range kubeletWiringFiles {
		root := t.TempDir()
		m := open(t, root)
		if _, err := m.Apply(t.Context(), nodetest.ParseConfig(t, "mirrors: [{upstream: \"*\", endpoints: [{url: catch.corp}]}]\n"), nil); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(root, wiring)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, []byte("{}"), 0o600)); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if _, err := m.Restore(t.Context(), config.Default()); err != nil {
				t.Fatal(err)
			}
			p := m.provider(t)
			if _, err := os.Stat(filepath.Join(root, credprovider.RulesFile)); err != nil || !p.Rules.Missing {
				t.Errorf("%s: rules %+v, %v", wiring, p.Rules, err)
			}
			if err := p.Check("111122223333.dkr.ecr.us-east-1.amazonaws.com/app"); err != nil {
				t.Error(err)
			}
		}
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		if _, err := m.Restore(t.Context(), config.Default()); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(root, credprovider.RulesFile)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: the rules stay though nothing is wired: %v", wiring, err)
		}
	}
}

// Foreign directories count, also behind a symlink in the path of certs.d.
func TestRulesSeeForeignDirectories(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "opt/certs/ghcr.io")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "hosts.toml"), []byte("[host.\"https://evil.corp\"]\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(root, "etc/containerd"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/opt/certs", filepath.Join(root, nodetest.CertsDir)); err != nil {
		t.Fatal(err)
	}
	m := open(t, root)
	if _, err := m.Apply(context.Background(), nodetest.ParseConfig(t, "registries: [{host: ghcr.io, username: u, password: p, auth: token}]\n"), nil); err != nil {
		t.Fatal(err)
	}
	if got, err := nodetest.ServedLogin(t, root, "ghcr.io/a/b"); err == nil || !strings.Contains(err.Error(), "evil.corp") {
		t.Errorf("served %q, %v", got, err)
	}
}

// Rules that the provider would refuse are written again.
func TestRulesFileOfAnotherMode(t *testing.T) {
	root := t.TempDir()
	m := open(t, root)
	cfg := nodetest.ParseConfig(t, "")
	if _, err := m.Apply(context.Background(), cfg, nil); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(root, credprovider.RulesFile)
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	result, err := m.Apply(context.Background(), cfg, nil)
	if err != nil || !result.Rules {
		t.Errorf("rules written: %t, %v", result.Rules, err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

// A file that changed while Berth worked is reported apart from the files that were written.
func TestSkippedIsReported(t *testing.T) {
	result := Result{Report: managedfile.Report{
		Changed: []hostsconf.Change{{Action: managedfile.Update, Path: "/y"}},
		Skipped: []hostsconf.Change{{Action: managedfile.Update, Path: "/x", Reason: "changed in the meantime"}},
	}}
	s := result.Summary()
	if len(s.Skipped) != 1 || s.Skipped[0].Path != "/x" || len(s.Changes) != 1 || s.Changes[0].Path != "/y" {
		t.Errorf("summary %+v", s)
	}
}
