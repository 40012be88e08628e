package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"

	"github.com/berth-registry/berth/credprovider/command"
	"github.com/berth-registry/berth/test/fakes/fakeaws"
	"github.com/berth-registry/berth/test/gobuild"
)

const page = "../../docs/credentials.md"

// node is a directory with the programs as a node has them, and the environment to run them.
type node struct {
	dir string
	env []string
}

func newNode(t *testing.T, fake *fakeaws.Server) node {
	t.Helper()
	n := node{dir: t.TempDir()}
	if err := gobuild.Programs(t.Context(), ".", n.path("usr/bin")+"/", ".", "../berth-ecr-token"); err != nil {
		t.Fatal(err)
	}
	n.env = append(fake.Env(), "HOME="+n.dir, "PATH="+n.path("path")+":"+os.Getenv("PATH"))
	return n
}

func (n node) path(name string) string { return filepath.Join(n.dir, name) }

func (n node) write(t *testing.T, name, content string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(n.path(name)), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(n.path(name), []byte(content), mode); err != nil {
		t.Fatal(err)
	}
}

// helper returns a command as a client starts it, for the files of this node.
func (n node) helper(server string) *exec.Cmd {
	cmd := exec.Command(n.path("usr/bin/"+command.Helper), "--rules", n.path("provider.json"), "--run-dir", n.path("tokens"), "get")
	cmd.Env, cmd.Stdin = n.env, strings.NewReader(server)
	return cmd
}

// block returns the text on the page between two marks.
func block(t *testing.T, begin, end string) string {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile("(?s)"+regexp.QuoteMeta(begin)+"(.*?)"+regexp.QuoteMeta(end)).FindAllSubmatch(text, -1)
	if len(found) != 1 {
		t.Fatalf("%s: %d texts between %q and %q", page, len(found), begin, end)
	}
	return string(found[0][1])
}

// asNode returns a script of the page with the programs of this node, which are given its files.
func (n node) asNode(script string) string {
	program := fmt.Sprintf("%s --rules %s --run-dir %s", n.path("usr/bin/"+command.Helper), n.path("provider.json"), n.path("tokens"))
	return strings.ReplaceAll(script, "/usr/bin/"+command.Helper, program)
}

// crane's client reads the config.json of the page and runs the helpers that it names: the program,
// and the script of the page with a sudo that allows what the page's sudoers line allows.
func TestKeychain(t *testing.T) {
	fake := fakeFor(t)
	n := newNode(t, fake)
	n.write(t, "provider.json", `{"version": 1, "registries": [
		{"host": "registry.corp", "username": "node", "password": "host-pass"},
		{"host": "registry.corp", "path": "team", "username": "team", "password": "team-pass"}],
		"dockerConfig": [{"host": "docker.io", "username": "hub", "password": "hub-pass"}]}`, 0o600)
	config := block(t, "```json\n", "```")
	rule := regexp.MustCompile(`(?m)^%builders ALL=\(root\) NOPASSWD: (.+)$`).FindStringSubmatch(block(t, "/etc/sudoers.d/berth <<'END'\n", "END\n"))
	if rule == nil {
		t.Fatal("the page has no line for sudoers")
	}
	n.write(t, "path/sudo", fmt.Sprintf("#!/bin/sh\n[ \"$*\" = '-n %s' ] || { echo sudo: a password is required >&2; exit 1; }\nexec %s\n", rule[1], n.asNode(rule[1])), 0o755)
	n.write(t, "path/docker-credential-sudo-berth", block(t, "/docker-credential-sudo-berth <<'END'\n", "END\n"), 0o755)
	n.write(t, "path/docker-credential-berth", n.asNode("#!/bin/sh\nexec /usr/bin/docker-credential-berth \"$@\"\n"), 0o755)
	for _, v := range n.env {
		key, value, _ := strings.Cut(v, "=")
		t.Setenv(key, value)
	}
	t.Setenv("DOCKER_CONFIG", n.path("docker"))
	for _, program := range []string{`"berth"`, `"sudo-berth"`} {
		keys := strings.ReplaceAll(config, `"berth"`, program)
		keys = strings.Replace(keys, "{\n    ", "{\n    \"registry.corp/team/app\": "+program+", \"444455556666.dkr.ecr.eu-west-1.amazonaws.com\": "+program+", \"other.corp\": "+program+",\n    ", 1)
		n.write(t, "docker/config.json", keys, 0o600)
		for _, c := range []struct{ image, username, password string }{
			{"111122223333.dkr.ecr.us-east-1.amazonaws.com/app", "AWS", "us-east-1."},
			{"registry.corp/app", "node", "host-pass"},
			{"registry.corp/team/app", "team", "team-pass"}, // config.json has this name
			{"registry.corp/team/other", "node", "host-pass"},
			{"docker.io/library/nginx", "hub", "hub-pass"},
			{"other.corp/app", "", ""},
			{"not-in-config.corp/app", "", ""},
		} {
			got := resolve(t, c.image)
			if got.Username != c.username || !strings.HasPrefix(got.Password, c.password) || (c.password == "") != (got.Password == "") {
				t.Errorf("%s, %s: username %q, password %q", program, c.image, got.Username, got.Password)
			}
		}
	}
	if calls := fake.Count(fakeaws.ECR, ""); calls != 1 {
		t.Errorf("%d calls of ECR, want 1", calls)
	}
	fake.Inject(deniedAt(fakeaws.ECR))
	repository, err := name.NewRepository("444455556666.dkr.ecr.eu-west-1.amazonaws.com/app")
	if err != nil {
		t.Fatal(err)
	}
	_, err = authn.DefaultKeychain.Resolve(repository)
	if err == nil || !strings.Contains(err.Error(), "no ECR token for eu-west-1: instance profile") || strings.Contains(err.Error(), "canary") {
		t.Errorf("the reason of AWS does not show: %v", err)
	}
}

func resolve(t *testing.T, image string) authn.AuthConfig {
	t.Helper()
	repository, err := name.NewRepository(image)
	if err != nil {
		t.Fatal(err)
	}
	found, err := authn.DefaultKeychain.Resolve(repository)
	if err != nil {
		t.Fatal(err)
	}
	login, err := found.Authorization()
	if err != nil {
		t.Fatal(err)
	}
	return *login
}

// Many builds begin at once: one process asks AWS, under the lock that kubelet's provider takes too.
func TestManyAtOnceMakeOneCall(t *testing.T) {
	fake := fakeFor(t)
	fake.SetLatency(fakeaws.ECR, 30*time.Millisecond)
	n := newNode(t, fake)
	answers := make([]string, 50)
	var wg sync.WaitGroup
	for i := range answers {
		wg.Go(func() {
			out, err := n.helper("111122223333.dkr.ecr.us-east-1.amazonaws.com").CombinedOutput()
			answers[i] = fmt.Sprint(string(out), err)
		})
	}
	wg.Wait()
	for i, a := range answers {
		if a != answers[0] || !strings.Contains(a, `"Username":"AWS"`) {
			t.Fatalf("process %d: %s", i, a)
		}
	}
	if calls := fake.Count(fakeaws.ECR, ""); calls != 1 {
		t.Errorf("%d calls of ECR, want 1", calls)
	}
}

// A user who may not read the rules is told what to do, and gets no token by an identity that the
// rules do not mean. Without rules the user's own identity is asked, and nothing of the node is read.
func TestOtherUsers(t *testing.T) {
	fake := fakeFor(t)
	n := newNode(t, fake)
	n.write(t, "provider.json", `{"version": 1}`, 0o600)
	n.write(t, "tokens/ecr_us-east-1.lock", "", 0o600)
	as := func(cmd *exec.Cmd) *exec.Cmd {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		return cmd
	}
	if os.Geteuid() != 0 { // then files without any mode stand in for those of another user
		as = func(cmd *exec.Cmd) *exec.Cmd { return cmd }
		for _, file := range []string{"provider.json", "tokens/ecr_us-east-1.lock"} {
			if err := os.Chmod(n.path(file), 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	for dir := n.dir; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(n.path("tokens"), 0o700); err != nil {
		t.Fatal(err)
	}
	const server = "111122223333.dkr.ecr.us-east-1.amazonaws.com"
	out, err := as(n.helper(server)).Output()
	if want := `permission denied; only root may use them: write "sudo-berth" in place of "berth" into credHelpers`; err == nil || !strings.Contains(string(out), want) {
		t.Errorf("%v: %s", err, out)
	}
	if calls := fake.Count(fakeaws.ECR, ""); calls != 0 {
		t.Errorf("%d calls of ECR", calls)
	}
	if err := os.Remove(n.path("provider.json")); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if out, err := as(n.helper(server)).Output(); err != nil || !bytes.Contains(out, []byte(`"Username":"AWS"`)) {
			t.Errorf("%v: %s", err, out)
		}
	}
	if calls := fake.Count(fakeaws.ECR, ""); calls != 2 {
		t.Errorf("%d calls of ECR, want 2", calls)
	}
}
