package kubelet

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/berth-registry/berth/test/fakes/upstream"
	"github.com/berth-registry/berth/test/standalone"
)

// The login of a registry that takes tokens only.
const (
	tokenHost     = "token.corp"
	tokenServer   = "auth.token.corp"
	tokenPassword = "token-password-" + canary
)

// TestConfigJSON starts pods with an image of a registry that takes tokens only, on a node whose
// kubelet has no credential provider: kubelet and containerd are real, the registry and its token
// server are fakes. kubelet is never restarted.
//
// kubelet keeps what it has read for five minutes, from its first pull on. So the usual scenarios
// have the file before the first pull, which shows that kubelet reads it without a restart. With
// BERTH_SOAK one more pulls before that, and waits for the five minutes.
func TestConfigJSON(t *testing.T) {
	b := newDaemonFixture(t)
	scenarios := []struct {
		name string
		run  func(*tokenFixture)
	}{
		{"applied-while-kubelet-runs", func(s *tokenFixture) {
			s.startKubelet()
			before := s.identity()
			s.berth(0, "apply")
			if mode := s.mode(s.own()); mode != "-rw-------" {
				s.Errorf("the file has mode %s", mode)
			}
			s.pod("app")
			s.runs()
			s.asked("robot")
			if now := s.identity(); now != before {
				s.Errorf("kubelet was %s, and is %s", before, now)
			}
			// A file that appears later is reported, and ours goes.
			s.write(s.home(".docker", "config.json"), `{"auths": {}}`)
			if out := s.berth(1, "plan"); !strings.Contains(out, "conflict "+s.home(".docker", "config.json")) {
				s.Errorf("plan says nothing of the foreign file:\n%s", out)
			}
			s.berth(1, "apply")
			s.absent(s.own())
			s.check(os.Remove(s.home(".docker", "config.json")))
			s.berth(0, "apply")
			if mode := s.mode(s.own()); mode == "" {
				s.Error("the file does not come back")
			}
			s.berth(0, "restore")
			s.absent(s.own())
		}},
		{"without-the-file", func(s *tokenFixture) {
			// The control: the image needs the login.
			s.startKubelet()
			s.pod("app")
			s.fails()
			s.asked()
		}},
		{"foreign-file-in-home", func(s *tokenFixture) {
			s.write(s.home(".docker", "config.json"), fmt.Sprintf(`{"auths": {%q: {"username": "foreign", "password": %q}}}`, tokenHost, tokenPassword))
			s.startKubelet()
			if out := s.berth(1, "apply"); !strings.Contains(out, "conflict "+s.home(".docker", "config.json")) {
				s.Errorf("apply says nothing of the foreign file:\n%s", out)
			}
			s.absent(s.own())
			s.pod("app")
			s.runs()
			s.asked("foreign")
		}},
		{"without-the-right-to-see-kubelet", func(s *tokenFixture) {
			s.startKubelet()
			s.rights = "-all"
			if out := s.berth(0, "apply"); !strings.Contains(out, "no login is written: ") || !strings.Contains(out, "CAP_SYS_PTRACE") {
				s.Errorf("apply does not say why nothing is written:\n%s", out)
			}
			s.absent(s.own())
			s.rights = "-all,+sys_ptrace"
			s.berth(0, "apply")
			if mode := s.mode(s.own()); mode != "-rw-------" {
				s.Errorf("with the right the file has mode %q", mode)
			}
		}},
	}
	if os.Getenv("BERTH_SOAK") != "" {
		scenarios = append(scenarios, scenarios[0])
		scenarios[len(scenarios)-1].name = "applied-after-a-pull"
		scenarios[len(scenarios)-1].run = func(s *tokenFixture) {
			s.startKubelet()
			before := s.identity()
			// Not the sandbox image: containerd pulls that one itself, kubelet then pulls nothing, and
			// reads no login.
			image := s.image
			content := upstream.NewContent()
			s.check(content.Push(s.Context(), "app:v1", s.daemonFixture.image(s.T)))
			s.behind("public.corp", content)
			s.image = "public.corp/app:v1"
			s.pod("public")
			s.runsWithin("public", podTime)
			s.berth(0, "apply")
			s.image = image
			s.pod("app")
			s.fails()
			s.asked()
			// kubelet tries again after 10, 20, 40, 80, 160 and 300 seconds.
			s.runsWithin("app", 15*time.Minute)
			s.asked("robot")
			if now := s.identity(); now != before {
				s.Errorf("kubelet was %s, and is %s", before, now)
			}
		}
	}
	for _, c := range scenarios {
		t.Run(c.name, func(t *testing.T) { c.run(newTokenFixture(t, b, c.name)) })
	}
}

// tokenFixture is a fixture whose image is in a registry that takes tokens only.
type tokenFixture struct {
	*fixture
	logins *logins
	homes  string // HOME of kubelet
	config string // RegistryConfig
	rights string // capabilities of berth, as setpriv(1) has them; "" for all
}

// logins is a token server that records who logged in.
type logins struct {
	token http.Handler
	names chan string
}

func newTokenFixture(t *testing.T, b *daemonFixture, name string) *tokenFixture {
	s := &tokenFixture{fixture: newFixture(t, b, name), homes: t.TempDir(), logins: &logins{upstream.Token("token-" + canary), make(chan string, 1000)}}
	content := upstream.NewContent()
	s.check(content.Push(t.Context(), name+":v1", b.image(t)))
	s.behind(tokenHost, upstream.Bearer("https://"+tokenServer+"/token", "token-"+canary, content))
	s.behind(tokenServer, s.logins)
	s.image = tokenHost + "/" + name + ":v1"
	s.config = write(t, "config.yaml", fmt.Appendf(nil, `apiVersion: berth/v1alpha1
kind: RegistryConfig
containerd: {certsDir: %q}
kubelet: {configJSON: true}
registries:
- {host: %s, username: robot, password: %s, auth: token}
`, filepath.Join(b.root, certsDir), tokenHost, tokenPassword))
	return s
}

func (l *logins) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	user, password, _ := r.BasicAuth()
	if password != tokenPassword {
		upstream.Status(http.StatusUnauthorized).ServeHTTP(w, r)
		return
	}
	l.names <- user
	l.token.ServeHTTP(w, r)
}

// asked checks that exactly these users logged in.
func (s *tokenFixture) asked(users ...string) {
	s.Helper()
	seen := map[string]bool{}
	for len(s.logins.names) > 0 {
		seen[<-s.logins.names] = true
	}
	for _, u := range users {
		if !seen[u] {
			s.Errorf("%s did not log in; %v did", u, seen)
		}
		delete(seen, u)
	}
	if len(seen) > 0 {
		s.Errorf("%v logged in, too", seen)
	}
}

// startKubelet starts a kubelet without a provider, and waits until its root directory is there.
func (s *tokenFixture) startKubelet() {
	s.Helper()
	var err error
	s.kubelet, err = standalone.Start(standalone.Options{
		Program: s.daemonFixture.kubelet.path, Socket: s.daemon.Socket(), Env: []string{"HOME=" + s.homes},
	})
	s.check(err)
	for begin := time.Now(); ; {
		if comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", s.pid())); err == nil && string(comm) == "kubelet\n" {
			if _, err := os.Stat(s.kubelet.RootDir()); err == nil {
				return
			}
		}
		if time.Since(begin) > podTime {
			s.Fatal("kubelet does not make its root directory")
		}
		s.check(s.kubelet.Pause(s.Context()))
	}
}

func (s *tokenFixture) pid() int {
	s.Helper()
	pid, err := s.kubelet.PID()
	s.check(err)
	return pid
}

// identity names the process of kubelet: its number and when it was started.
func (s *tokenFixture) identity() string {
	s.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.pid()))
	s.check(err)
	fields := strings.Fields(string(stat[strings.LastIndex(string(stat), ")")+1:]))
	return fmt.Sprintf("process %d, started at %s", s.pid(), fields[19])
}

// berth runs a command on the node that kubelet is on, and returns what it prints.
func (s *tokenFixture) berth(code int, command string) string {
	s.Helper()
	args := []string{"--target", fmt.Sprint(s.pid()), "--mount", "--pid"}
	if s.rights != "" {
		args = append(args, "setpriv", "--bounding-set="+s.rights, "--inh-caps="+s.rights)
	}
	args = append(args, berthBinary(), command)
	if command != "restore" {
		args = append(args, "--config", s.config)
	}
	cmd := exec.CommandContext(s.Context(), "nsenter", args...)
	cmd.Env = append(s.env, "PATH=/usr/sbin:/usr/bin:/sbin:/bin")
	out, err := cmd.CombinedOutput()
	exit := (*exec.ExitError)(nil)
	if err != nil && !errors.As(err, &exit) || cmd.ProcessState.ExitCode() != code {
		s.Fatalf("berth %s: %v, want exit code %d\n%s", command, err, code, out)
	}
	noSecret(s.T, "the output of berth "+command, string(out))
	return string(out)
}

func (s *tokenFixture) own() string { return filepath.Join(s.kubelet.RootDir(), "config.json") }

func (s *tokenFixture) home(elem ...string) string {
	return filepath.Join(append([]string{s.homes}, elem...)...)
}

func (s *tokenFixture) write(file, content string) {
	s.Helper()
	s.check(os.MkdirAll(filepath.Dir(file), 0o755))
	s.check(os.WriteFile(file, []byte(content), 0o600))
}

func (s *tokenFixture) absent(file string) {
	s.Helper()
	if _, err := os.Lstat(file); !os.IsNotExist(err) {
		s.Errorf("%s is there: %v", file, err)
	}
}

func (s *tokenFixture) mode(file string) string {
	s.Helper()
	info, err := os.Lstat(file)
	if err != nil {
		return ""
	}
	return info.Mode().String()
}
