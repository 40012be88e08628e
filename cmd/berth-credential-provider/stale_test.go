package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-registry/berth/test/fakes/fakeaws"
)

const ecrImage = "111122223333.dkr.ecr.us-east-1.amazonaws.com/app"

// programs are berth and the provider, built as for a release, and a node in a temporary directory.
type programs struct {
	t    *testing.T
	fake *fakeaws.Server
	dir  string // with bin/, config.yaml and node/
}

func newPrograms(t *testing.T) programs {
	p := programs{t, fakeFor(t), pageDir(t)}
	p.put("config.yaml", "apiVersion: berth/v1alpha1\nkind: RegistryConfig\n")
	return p
}

func (p programs) put(name, content string) {
	p.t.Helper()
	file := filepath.Join(p.dir, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(content), 0o600)); err != nil {
		p.t.Fatal(err)
	}
}

func (p programs) run(in, program string, args ...string) (string, bool) {
	cmd := exec.Command(filepath.Join(p.dir, "bin", program), args...)
	cmd.Dir, cmd.Stdin = p.dir, strings.NewReader(in)
	cmd.Env = append(p.fake.Env(), "HOME="+p.dir)
	out, err := cmd.CombinedOutput()
	return string(out), err == nil
}

func (p programs) apply() {
	p.t.Helper()
	// A foreign file at one path is exit code 1; the other files are written.
	if out, _ := p.run("", "berth", "apply", "-c", "config.yaml", "--root", "node"); !strings.Contains(out, "done") {
		p.t.Fatalf("apply: %s", out)
	}
}

// gives checks that the provider answers with a token and that berth credentials agrees; withholds
// checks that both name the reason.
func (p programs) gives(more ...string) {
	p.t.Helper()
	if out, ok := p.ask(more); !ok || !strings.Contains(out, `"username":"AWS"`) {
		p.t.Errorf("the provider gives nothing: %s", out)
	}
	if out, ok := p.credentials(); !ok || strings.Contains(out, "provider   none") {
		p.t.Errorf("berth credentials: %s", out)
	}
}

func (p programs) withholds(why string, more ...string) {
	p.t.Helper()
	if out, ok := p.ask(more); ok || !strings.Contains(out, why) {
		p.t.Errorf("the provider does not say %q: %s", why, out)
	}
	if len(more) > 0 {
		return
	}
	if out, ok := p.credentials(); ok || !strings.Contains(out, "provider   none: ") || !strings.Contains(out, why) {
		p.t.Errorf("berth credentials does not say %q: %s", why, out)
	}
}

func (p programs) ask(more []string) (string, bool) {
	args := append([]string{"--root", "node", "--rules", "node/var/lib/berth/provider.json", "--run-dir", "node/run/berth/tokens"}, more...)
	return p.run(`{"kind":"CredentialProviderRequest","apiVersion":"credentialprovider.kubelet.k8s.io/v1","image":"`+ecrImage+`"}`,
		"berth-credential-provider", args...)
}

func (p programs) credentials() (string, bool) {
	args := []string{"credentials", "--root", "node", ecrImage}
	if _, err := os.Stat(filepath.Join(p.dir, "node/var/lib/berth/provider.json")); err == nil {
		args = append(args, "-c", "config.yaml")
	}
	return p.run("", "berth", args...)
}

const (
	foreignDefault = "node/etc/containerd/certs.d/_default/hosts.toml"
	evil           = "[host.\"https://evil.corp\"]\n"
)

// TestForeignFileAfterApply: no agent writes the rules again, and still no host gets a token that
// it must not have.
func TestForeignFileAfterApply(t *testing.T) {
	p := newPrograms(t)
	p.apply()
	p.gives()
	p.gives("--require-rules")
	p.put(foreignDefault, evil)
	p.withholds("/etc/containerd/certs.d/_default/hosts.toml is not as it was when the rules were made; run: berth apply")
	p.apply()
	p.withholds("containerd would offer it to evil.corp, too")
	p.put(foreignDefault, "# nothing any more\n")
	p.withholds("_default/hosts.toml is not as it was")
	p.apply()
	p.gives()
	// config_path is changed to a directory with a foreign file.
	p.put("node/opt/certs/_default/hosts.toml", evil)
	p.put("node/etc/containerd/config.toml", "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".registry]\n  config_path = \"/opt/certs\"\n")
	p.withholds(`/etc/containerd/config.toml has config_path "/opt/certs"`)
}

// TestRulesAreLost: the files of certs.d still exist, and decide.
func TestRulesAreLost(t *testing.T) {
	p := newPrograms(t)
	p.put("config.yaml", "apiVersion: berth/v1alpha1\nkind: RegistryConfig\nmirrors:\n- upstream: \"*\"\n  endpoints:\n  - url: https://mirror.corp\n")
	p.apply()
	p.withholds("containerd would offer it to mirror.corp, too")
	if err := os.RemoveAll(filepath.Join(p.dir, "node/var/lib/berth")); err != nil {
		t.Fatal(err)
	}
	p.withholds("/etc/containerd/certs.d/_default/hosts.toml says who is asked, and there are no rules that know it")
	p.withholds("provider.json: not there, and --require-rules wants it; run: berth apply", "--require-rules")
	if err := os.RemoveAll(filepath.Join(p.dir, "node/etc")); err != nil {
		t.Fatal(err)
	}
	p.gives()
	p.withholds("--require-rules wants it", "--require-rules")
}

// TestProviderAlone has no rules and a hosts.toml.
func TestProviderAlone(t *testing.T) {
	p := newPrograms(t)
	p.gives()
	p.put(foreignDefault, evil)
	p.withholds("/etc/containerd/certs.d/_default/hosts.toml says who is asked, and there are no rules that know it; remove it, or run: berth apply")
}

// TestDirectoryOfOthers: a user who may write to a directory may replace its files.
func TestDirectoryOfOthers(t *testing.T) {
	p := newPrograms(t)
	p.apply()
	p.gives()
	state := filepath.Join(p.dir, "node/var/lib/berth")
	if err := os.Chmod(state, 0o777); err != nil {
		t.Fatal(err)
	}
	const why = "/var/lib/berth: other users can write to it (mode 0777); its content is not used; check it, then run: chmod go-w "
	if out, ok := p.ask(nil); ok || !strings.Contains(out, why) {
		t.Errorf("the provider: %s", out)
	}
	for _, args := range [][]string{{"apply", "-c", "config.yaml"}, {"plan", "-c", "config.yaml"}, {"restore"}, {"credentials", ecrImage}} {
		if out, ok := p.run("", "berth", append(args, "--root", "node")...); ok || !strings.Contains(out, why) {
			t.Errorf("%q: %s", args, out)
		}
	}
	if err := errors.Join(os.Chmod(state, 0o700), os.Chown(state, 4711, -1)); err != nil {
		t.Fatal(err)
	}
	if out, ok := p.run("", "berth", "apply", "-c", "config.yaml", "--root", "node"); ok || !strings.Contains(out, "/var/lib/berth: belongs to user 4711") {
		t.Errorf("apply: %s", out)
	}
}
