//go:build e2e

package docker

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/berth-registry/berth/test/fakes/ecrstandin"
	"github.com/berth-registry/berth/test/fakes/fakeaws"
	"github.com/berth-registry/berth/test/fakes/upstream"
)

// TestAgent pulls while berth agent keeps the files up to date.
func TestAgent(t *testing.T) {
	run(t, []scenario{
		{"dead-first-mirror-is-withdrawn", deadFirstMirror},
		{"registry-mirrors-that-are-set-later", laterRegistryMirrors},
		{"renewed-token-of-ecr", renewedToken},
	})
}

// startAgent starts the agent with this RegistryConfig, given without its first two lines, and
// waits until it listens. more is added to its environment.
func (s *fixture) startAgent(config string, more ...string) {
	s.Helper()
	s.writeConfig(config)
	s.behindProxy("auth.docker.io", upstream.Token("anonymous")) // asked for the limit of pulls
	cmd := exec.Command(berthBinary(s.T), "agent", "--config", s.configFile(), "--root", s.root,
		"--listen", "127.0.0.1:0")
	cmd.Env = append(slices.Clone(s.env), more...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	log := filepath.Join(s.TempDir(), "agent.log")
	file, err := os.Create(log)
	must(s.T, err)
	defer file.Close()
	cmd.Stderr = file
	must(s.T, cmd.Start())
	said := func() string {
		raw, err := os.ReadFile(log)
		must(s.T, err)
		return string(raw)
	}
	s.Cleanup(func() {
		must(s.T, cmd.Process.Signal(syscall.SIGTERM))
		if err := cmd.Wait(); err != nil {
			s.Errorf("berth agent ended with %v", err)
		}
		for _, secret := range s.secrets {
			if strings.Contains(said(), secret.password) {
				s.Errorf("the agent's log shows the login of %s", secret.username)
			}
		}
		if s.Failed() {
			s.Logf("berth agent:\n%s", said())
		}
	})
	s.until("the agent listens", func() bool { return strings.Contains(said(), `"msg":"listening"`) })
}

// until waits for a condition.
func (s *fixture) until(what string, holds func() bool) {
	s.Helper()
	for end := time.Now().Add(patience); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			s.Fatalf("after %s: still not so that %s", patience, what)
		}
	}
}

// hostsFile returns the hosts.toml of a directory of certs.d, "" if there is none.
func (s *fixture) hostsFile(dir string) string {
	s.Helper()
	raw, err := os.ReadFile(filepath.Join(s.root, certsDir, dir, "hosts.toml"))
	if err != nil && !os.IsNotExist(err) {
		s.Fatal(err)
	}
	return string(raw)
}

// byDocker returns the requests of dockerd; the agent probes mirrors too.
func (d *decoy) byDocker() []upstream.Request {
	return slices.DeleteFunc(d.Requests(), func(r upstream.Request) bool {
		return !strings.HasPrefix(r.Header.Get("User-Agent"), "docker/")
	})
}

func deadFirstMirror(s *fixture) {
	c, img := s.stocked(repo)
	first, second := s.mirror(upstream.Status(http.StatusServiceUnavailable)), s.mirror(c)
	first.claimed, second.claimed = true, true
	s.startAgent(mirrorOf("docker.io", first.url(), second.url()) +
		"health: {interval: 1s, timeout: 1s, failures: 2, successes: 2}\n")
	s.until("the first mirror is gone from hosts.toml", func() bool {
		file := s.hostsFile("docker.io")
		return strings.Contains(file, second.url()) && !strings.Contains(file, first.url())
	})
	s.pull(ref, img)
	s.served(second, img)
	if n := len(first.byDocker()); n > 0 {
		s.Errorf("the dead mirror received %d requests of dockerd", n)
	}
	first.answerWith(c)
	s.until("the first mirror is back", func() bool {
		return strings.Contains(s.hostsFile("docker.io"), first.url())
	})
	later := s.image("library/app:later", c)
	s.pull("docker.io/library/app:later", later)
	s.served(first, later)
}

// laterRegistryMirrors: a header that was right when it was written has to go when daemon.json
// changes.
func laterRegistryMirrors(s *fixture) {
	c, img := s.stocked(repo)
	ours := s.mirror(upstream.Basic(robot, password, c))
	theirs := s.mirror(c)
	ours.claimed = true
	s.keep(robot, password, ours)
	s.startAgent(mirrorOf("docker.io", ours.url()) + only + "registries:\n" + withLogin(ours.Addr()))
	login := func() bool { return strings.Contains(s.hostsFile("docker.io"), "Authorization") }
	s.until("the login is written", login)
	s.pull(ref, img)
	s.served(ours, img)
	s.daemonJSON(settings{Mirrors: []string{theirs.url()}})
	s.until("the login is gone", func() bool { return !login() })
	later := s.image("library/app:later", c)
	s.pull("docker.io/library/app:later", later)
	s.served(theirs, later)
	s.authorization(theirs) // none
}

// Each token lives for tokenLife, and is renewed at half of it.
const (
	tokenLife = 20 * time.Second
	renewals  = 2
)

// renewedToken pulls new images through a mirror that accepts only unexpired tokens of ECR, while
// the agent renews them. Docker Hub has every image too, and must not be asked.
func renewedToken(s *fixture) {
	aws, err := fakeaws.Start()
	must(s.T, err)
	s.Cleanup(func() { must(s.T, aws.Close()) })
	aws.SetTokenLife(tokenLife)
	aws.SetRole("node", fakeaws.Key{ID: "ASIANODE", Secret: "of the node", Session: "of the session"})
	c := upstream.NewContent()
	backend := s.mirror(c)
	backend.claimed = true
	ecr, err := ecrstandin.Start(aws, backend.url())
	must(s.T, err)
	s.Cleanup(func() { must(s.T, ecr.Close()) })
	s.decoys[hub].answerWith(c)
	s.startAgent(mirrorOf("docker.io", "http://"+ecr.Addr())+fmt.Sprintf(
		"ecr:\n  registries:\n  - {host: %q, account: \"111122223333\", region: us-east-1}\n", ecr.Addr()),
		aws.Env()...)
	header := regexp.MustCompile(`Authorization = "Basic ([^"]+)"`)
	s.until("a token is written", func() bool { return header.MatchString(s.hostsFile("docker.io")) })

	tokens := map[string]bool{}
	end := time.Now().Add((renewals + 2) * tokenLife)
	for n := 0; len(tokens) <= renewals; n++ {
		if time.Now().After(end) {
			s.Fatalf("only %d tokens were used in %d pulls", len(tokens), n)
		}
		name := fmt.Sprintf("library/app:t%d", n)
		s.pull("docker.io/"+name, s.image(name, c))
		for _, r := range ecr.Requests() {
			if strings.HasPrefix(r.Agent, "docker/") {
				tokens[r.Token] = true
				if r.Verdict != ecrstandin.LetIn {
					s.Fatalf("the mirror was asked: %s", r)
				}
			}
		}
	}
	for token := range tokens {
		s.keep("AWS", token) // the stand-in is no decoy: none may have seen it
	}
	last, err := base64.StdEncoding.DecodeString(header.FindStringSubmatch(s.hostsFile("docker.io"))[1])
	must(s.T, err)
	if !strings.HasPrefix(string(last), "AWS:") {
		s.Error("the header has another user than AWS")
	}
}
