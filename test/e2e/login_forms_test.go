package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/berth-registry/berth/test/e2e/containerd"
	"github.com/berth-registry/berth/test/e2e/registry"
	"github.com/berth-registry/berth/test/fakes/ecrstandin"
	"github.com/berth-registry/berth/test/fakes/upstream"
)

// TestLoginForms pulls with each form of a login that docs/logins.md names, from registries that
// take Basic and from registries with a token server.
func TestLoginForms(t *testing.T) {
	p := programs{berth: berthBinary(t), provider: goBuild(t, "./cmd/berth-credential-provider")}
	onEachContainerd(t, p, loginFormScenarios())
}

// loginForm is a user name with a password, as some registries have them.
type loginForm struct{ name, username, password string }

func loginForms() []loginForm {
	return []loginForm{
		{"htpasswd", "puller", "correct horse"},
		{"json-key", "_json_key", keyOfLines(2300)},
		{"key-of-64-KiB", "_json_key", keyOfLines(64<<10 - 1)},
		{"oauth2accesstoken", "oauth2accesstoken", "ya29." + strings.Repeat("a-B_c.", 40)},
		{"azure-token", "00000000-0000-0000-0000-000000000000", "eyJ" + strings.Repeat("aB1-_.", 250)},
		{"robot-dollar", "robot$team+puller", "Harbor12345"},
		{"robot-plus", "org+robot", "TOKEN"},
		{"special", `dom\us_er@corp/ü<x>`, `p:a"s's$w{o}r#d\`},
	}
}

// keyOfLines makes a document of this size with many lines, like the key of a service account.
func keyOfLines(size int) string {
	const end = "\"\n}"
	key := "{\n  \"type\": \"service_account\",\n  \"private_key\": \"-----BEGIN PRIVATE KEY-----\\n"
	for i := 0; len(key) < size-100; i++ {
		key += fmt.Sprintf("%064d\\n\",\n\t\"%d\": \"a:b", i, i)
	}
	return key + strings.Repeat("x", size-len(key)-len(end)) + end
}

func loginFormScenarios() []scenario {
	var all []scenario
	for _, form := range loginForms() {
		all = append(all,
			scenario{form.name, func(s *fixture) {
				s.basicForm(form)
				s.tokenForm(form)
			}},
			scenario{form.name + "-at-docker-registry", func(s *fixture) { s.registryForm(form) }})
	}
	return append(all,
		scenario{"token-server", func(s *fixture) { s.tokenForm(loginForm{"token-server", "member", "dckr_pat_x"}) }},
		scenario{"ecr", func(s *fixture) {
			aws := s.startAWS(time.Hour)
			r := s.registry(registry.Options{})
			ecr, err := ecrstandin.Start(aws, r.URL())
			if err != nil {
				s.Fatal(err)
			}
			s.Cleanup(func() { must(s.T, ecr.Close()) })
			img := s.image("team/app:v1", r)
			s.applyOnce(s.awsEnv(aws), fmt.Sprintf("ecr:\n  registries:\n  - {host: %q, account: \"111122223333\", region: us-east-1}\n", ecr.Addr()))
			s.pull(ecr.Addr()+"/team/app:v1", img)
		}},
		scenario{"identity-token", func(s *fixture) {
			// In no header and in no answer for kubelet.
			d := s.mirror(upstream.Basic("<token>", "refresh", upstream.NewContent()))
			s.claimed[d] = true
			s.dockerConfig(d.Addr(), `{"identitytoken": "refresh"}`)
			s.pullFails(d.Addr() + "/team/app:v1")
			s.authorization(d.Requests())
			if c := s.answerFor(d.Addr() + "/team/app"); c != nil {
				s.Errorf("kubelet gets %q", c.Username)
			}
		}},
		scenario{"registrytoken", func(s *fixture) {
			c := upstream.NewContent()
			img := s.image("team/app:v1", c)
			tokens := s.mirror(upstream.Status(http.StatusUnauthorized))
			d := s.mirror(upstream.Bearer("http://"+tokens.Addr()+"/token", "granted", c))
			s.claimed[d], s.claimed[tokens] = true, true
			s.dockerConfig(d.Addr(), `{"registrytoken": "granted"}`)
			s.pull(d.Addr()+"/team/app:v1", img)
			s.authorization(d.Requests(), "Bearer granted")
			if n := len(tokens.Requests()); n > 0 {
				s.Errorf("the token server was asked %d times", n)
			}
		}},
		scenario{"expired-registrytoken", func(s *fixture) {
			// The pull fails. From 2.1 on the token server gets the token, too, if it was not probed: apply
			// would see that the registry names another server, and write no header.
			tokens := s.mirror(upstream.Status(http.StatusUnauthorized))
			d := s.mirror(upstream.Bearer("http://"+tokens.Addr()+"/token", "granted", upstream.NewContent()))
			s.claimed[d], s.claimed[tokens] = true, true
			s.dockerConfig(d.Addr(), `{"registrytoken": "expired"}`, "--no-probe")
			s.pullFails(d.Addr() + "/team/app:v1")
			if !s.release.HeaderToTokenServer() {
				s.authorization(tokens.Requests())
			} else {
				s.authorization(tokens.Requests(), "Bearer expired")
			}
		}})
}

// basicForm pulls from a registry that compares every byte of a Basic login.
func (s *fixture) basicForm(form loginForm) {
	s.Helper()
	c := upstream.NewContent()
	d := s.mirror(upstream.Basic(form.username, form.password, c))
	s.claimed[d] = true
	img := s.image("team/app:v1", c)
	s.apply(s.formConfig(d.Addr(), form))
	s.pull(d.Addr()+"/team/app:v1", img)
	s.authorization(d.Requests(), "Basic "+basic(form.username, form.password))
	s.wantAnswer(d.Addr()+"/team/app", form)
}

// registryForm pulls from a docker-registry with htpasswd.
func (s *fixture) registryForm(form loginForm) {
	s.Helper()
	r := s.registry(registry.Options{Username: form.username, Password: form.password})
	img := s.image("team/app:v2", r)
	s.apply(s.formConfig(r.Addr(), form))
	s.pull(r.Addr()+"/team/app:v2", img)
}

// tokenForm pulls from a registry with a token server of its domain. Before containerd 2.1 the login
// gets there through kubelet alone.
func (s *fixture) tokenForm(form loginForm) {
	s.Helper()
	const host = "registry.example.com"
	c := upstream.NewContent()
	img := s.image("team/app:v3", c)
	d := s.behindProxy(host, upstream.Bearer("https://auth.example.com/token", "good", c))
	tokens := s.behindProxy("auth.example.com", tokenServer(form.username, form.password))
	s.claimed[d], s.claimed[tokens] = true, true
	s.apply(s.formConfig(host, form))
	answer := s.wantAnswer(host+"/team/app", form)
	if s.release.HeaderToTokenServer() {
		s.pull(host+"/team/app:v3", img)
		return
	}
	s.pullFails(host + "/team/app:v3")
	s.pullAs(host+"/team/app:v3", answer, img)
}

// formConfig is a registry with a login; its file ends in a line break.
func (s *fixture) formConfig(host string, form loginForm) string {
	s.Helper()
	username, err := json.Marshal(form.username)
	if err != nil {
		s.Fatal(err)
	}
	return fmt.Sprintf("registries:\n- host: %q\n  username: %s\n  passwordFile: %q\n", host, username, s.file("password", form.password+"\n"))
}

// dockerConfig applies a docker config with one entry.
func (s *fixture) dockerConfig(host, entry string, flags ...string) {
	s.Helper()
	s.writeConfig(fmt.Sprintf("dockerConfigFile: %q\n", s.file("config.json", fmt.Sprintf(`{"auths": {%q: %s}}`, host, entry))))
	s.run(0, append([]string{"apply", "--config", s.config}, flags...)...)
	s.secretsAreKept()
}

// wantAnswer returns the answer of the credential provider, which must be this login.
func (s *fixture) wantAnswer(image string, form loginForm) *containerd.Credential {
	s.Helper()
	c := s.answerFor(image)
	if c == nil || c.Username != form.username || c.Password != form.password {
		s.Fatalf("kubelet does not get the login for %s", image)
	}
	return c
}

// answerFor returns what the credential provider answers kubelet for an image, nil for nothing.
func (s *fixture) answerFor(image string) *containerd.Credential {
	s.Helper()
	cmd := exec.CommandContext(s.Context(), s.provider, "--root", s.root,
		"--rules", filepath.Join(s.root, "var/lib/berth/provider.json"), "--run-dir", filepath.Join(s.root, "run/berth/tokens"))
	request, err := json.Marshal(map[string]string{
		"kind": "CredentialProviderRequest", "apiVersion": "credentialprovider.kubelet.k8s.io/v1", "image": image,
	})
	if err != nil {
		s.Fatal(err)
	}
	cmd.Stdin, cmd.Stderr = strings.NewReader(string(request)), os.Stderr
	output, err := cmd.Output()
	if err != nil {
		s.Fatalf("credential provider for %s: %v", image, err)
	}
	var response struct {
		Auth map[string]struct{ Username, Password string }
	}
	if err := json.Unmarshal(output, &response); err != nil {
		s.Fatal(err)
	}
	for _, c := range response.Auth {
		return &containerd.Credential{Username: c.Username, Password: c.Password}
	}
	return nil
}

// TestLoginFormsPage: each scenario that docs/logins.md names exists.
func TestLoginFormsPage(t *testing.T) {
	page, err := os.ReadFile("../../docs/logins.md")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range loginFormScenarios() {
		names = append(names, s.name)
	}
	rows := 0
	for line := range strings.Lines(string(page)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) != 9 || !strings.HasPrefix(strings.TrimSpace(cells[1]), "`") {
			continue
		}
		rows++
		run := strings.TrimPrefix(strings.TrimSpace(cells[8]), "form alone: ")
		if run != "not run" && !slices.Contains(names, run) {
			t.Errorf("%s: there is no scenario %q", strings.TrimSpace(cells[0]), run)
		}
	}
	if rows < 18 {
		t.Errorf("only %d rows were found", rows)
	}
}
