package leak

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/berth-registry/berth/credprovider"
	"github.com/berth-registry/berth/test/fakes/fakeaws"
)

// TestCanaryShowsNowhere runs the released commands with random configs, good and broken, and with
// AWS in different states. Their output, except the provider's answer, and the arguments of
// processes must have no secret.
func TestCanaryShowsNowhere(t *testing.T) {
	bin := buildCommands(t) // before HOME changes, and with it Go's cache
	fake := startAWS(t)
	c := &commands{t: t, bin: bin}
	for n := range 6 {
		rnd := rand.New(rand.NewPCG(*seedFlag, uint64(1000+n)))
		r, err := newRound(rnd, fmt.Sprintf("c%d", n), filepath.Join(t.TempDir(), fmt.Sprint(n)), fake, 3)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			// AWS repeats the keys with which the request was signed.
			fake.Inject(fakeaws.Fault{
				Point: fakeaws.ECR, KeyID: "AKIAC0", Status: 400, Code: "AccessDeniedException", Message: "key " + canary + "-aws-c0",
			})
		}
		c.use(r)
	}
	c.broken()
	t.Logf("%d runs, %d failed; %d process arguments looked at", c.runs, c.failed, c.arguments)
	if c.failed == 0 || c.failed == c.runs || c.arguments == 0 {
		t.Error("it does not try both success and failure, or saw no process")
	}
	c.control()
}

// commands runs the programs.
type commands struct {
	t   *testing.T
	bin string

	runs, failed, arguments int
}

// buildCommands builds the programs, with the race detector if this test has it, so that the
// packages that are already built are reused.
func buildCommands(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	args := []string{"build", "-o", dir + "/"}
	if info, ok := debug.ReadBuildInfo(); ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		args = append(args, "-race")
	}
	args = append(args, "../../cmd/berth", "../../cmd/berth-credential-provider", "../../cmd/berth-ecr-token", "../../cmd/docker-credential-berth")
	if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return dir
}

// use runs every verb on a random node.
func (c *commands) use(r *round) {
	for _, args := range [][]string{
		{"plan"}, {"apply"}, {"plan", "-o", "json"}, {"apply", "-o", "json"}, {"plan"},
		{"credentials", r.images[0].name}, {"credentials", r.images[1].name, "-o", "json"},
	} {
		args = append(args, "--root", r.root, "-c", r.file)
		c.run("", "berth", args...)
	}
	rules, tokens := filepath.Join(r.root, credprovider.RulesFile), filepath.Join(r.root, credprovider.TokenDir)
	for _, img := range r.images {
		c.run(request(img.name), "berth-credential-provider", "--root", r.root, "--rules", rules, "--run-dir", tokens)
		c.run(img.name, "docker-credential-berth", "--rules", rules, "--run-dir", tokens, "get")
	}
	for _, bad := range []string{"", canary, `{"kind":"` + canary + `"}`, request(canary + "@@" + canary), request("https://u:" + canary + "@h.corp/x")} {
		c.run(bad, "berth-credential-provider", "--root", r.root, "--rules", rules, "--run-dir", tokens)
		c.run(bad, "docker-credential-berth", "--rules", rules, "--run-dir", tokens, "get")
	}
}

// request returns kubelet's request. It also has a token of a service account, which is a secret
// too.
func request(image string) string {
	return fmt.Sprintf(`{"kind":"CredentialProviderRequest","apiVersion":"credentialprovider.kubelet.k8s.io/v1","image":%q,"serviceAccountToken":"%s-sa"}`,
		image, canary)
}

// broken runs the commands with typical mistakes near a secret.
func (c *commands) broken() {
	dir := c.t.TempDir()
	secret := filepath.Join(dir, "pull-secret.json")
	auth := base64.StdEncoding.EncodeToString([]byte("u:" + canary))
	const head = "apiVersion: berth/v1alpha1\nkind: RegistryConfig\n"
	for i, body := range []string{
		"registries: [{host: h.corp, username: u, password: [" + canary + "]}]",
		"registries: [{host: h.corp, username: u, passwort: " + canary + "}]",
		"registries: [{host: h.corp, username: u, password: " + canary + ", passwordFile: /nowhere}]",
		"registries: [{host: h.corp, username: u, password: \"" + canary + "\n}]",
		"registries: [{host: h.corp, username: u, password: \"" + canary + "\\n\"}]",
		"registries: [{host: \"u:" + canary + "@h.corp\"}]",
		"registries: [{host: h.corp, username: u, password: " + canary + ", plainHTTP: true}]",
		"mirrors: [{upstream: docker.io, endpoints: [{url: \"https://u:" + canary + "@h.corp\"}]}]",
		"mirrors: [{upstream: docker.io, endpoints: [{url: \"https://h.corp?token=" + canary + "\"}]}]",
		"mirrors: [{upstream: docker.io, endpoints: [{url: https://h.corp, headers: {Authorization: [" + canary + "]}}]}]",
		"ecr: {credentials: [{static: {accessKeyID: AKIAX, secretAccessKey: \"" + canary + " x\"}}]}",
		"ecr: {credentials: [{static: {secretAccessKey: " + canary + "}}]}",
		"proxy: {httpProxy: \"http://u:" + canary + "@proxy corp\"}",
		"dockerConfigFile: " + secret,
		canary,
	} {
		file := filepath.Join(dir, fmt.Sprintf("broken%d.yaml", i))
		c.write(file, head+body+"\n")
		c.write(secret, `{"auths":{"h.corp":{"auth":"`+auth+`","username":`+"\""+canary+`",}}}`)
		before := c.failed
		c.run("", "berth", "apply", "--root", filepath.Join(dir, "node"), "-c", file)
		if c.failed == before {
			c.t.Errorf("this was accepted: %s", body)
		}
	}
	rules := filepath.Join(dir, "provider.json")
	for _, body := range []string{canary, `{"version":"` + canary + `"}`, `{"version":1,"registries":[{"password":"` + canary + `"]}`} {
		c.write(rules, body)
		c.run(request("h.corp/x"), "berth-credential-provider", "--root", dir, "--rules", rules, "--run-dir", dir)
		c.run("h.corp", "docker-credential-berth", "--rules", rules, "--run-dir", dir, "get")
	}
}

func (c *commands) write(file, body string) {
	c.t.Helper()
	if err := os.WriteFile(file, []byte(body), 0o600); err != nil {
		c.t.Fatal(err)
	}
}

// run runs a program and searches its output. The stdout of an answer to kubelet or docker is not
// searched: it must have the secret.
func (c *commands) run(stdin, program string, args ...string) {
	c.t.Helper()
	stdout, stderr, arguments, err := c.exec(stdin, program, args...)
	c.runs++
	if err != nil {
		c.failed++
	}
	said := stderr
	if program == "berth" || err != nil {
		said += stdout
	}
	for where, text := range map[string]string{"output": said, "arguments of a process": arguments} {
		if shows(text) {
			c.t.Errorf("%s %q: a secret shows in the %s:\n%s", program, args, where, text)
		}
	}
}

// exec returns the output of a program, and the arguments of it and its descendants, read from
// /proc while they ran.
func (c *commands) exec(stdin, program string, args ...string) (stdout, stderr, arguments string, err error) {
	c.t.Helper()
	var out, errOut bytes.Buffer
	cmd := exec.CommandContext(c.t.Context(), filepath.Join(c.bin, program), args...)
	// By default a program with the race detector waits for a second when it exits.
	cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0",
		// No registry of the configs is asked on the Internet.
		"http_proxy=http://127.0.0.1:1", "https_proxy=http://127.0.0.1:1", "no_proxy=127.0.0.1,localhost,::1")
	cmd.Stdout, cmd.Stderr = &out, &errOut
	in, err := cmd.StdinPipe()
	if err != nil {
		c.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	done, looked := make(chan error), make(chan struct{})
	go func() {
		// A program that waits for its stdin has been inspected by now.
		<-looked
		// A program need not read all of it.
		_, _ = io.WriteString(in, stdin)
		_ = in.Close()
		done <- cmd.Wait()
	}()
	var seen strings.Builder
	look := func() {
		for _, line := range family(cmd.Process.Pid) {
			c.arguments++
			seen.WriteString(line + "\n")
		}
	}
	look()
	close(looked)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-done:
			return out.String(), errOut.String(), seen.String(), err
		case <-tick.C:
			look()
		}
	}
}

// family returns the arguments of a process and of its descendants.
func family(root int) (lines []string) {
	entries, _ := filepath.Glob("/proc/[0-9]*/stat")
	parent := map[int]int{}
	for _, file := range entries {
		b, err := os.ReadFile(file)
		if err != nil {
			continue // the process has ended
		}
		// pid (name) state ppid; the name may contain any character.
		_, rest, _ := strings.Cut(string(b[bytes.LastIndexByte(b, ')'):]), " ")
		fields := strings.Fields(rest)
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err != nil || len(fields) < 2 {
			continue
		}
		if parent[pid], err = strconv.Atoi(fields[1]); err != nil {
			continue
		}
	}
	for pid := range parent {
		for p := pid; p > 1; p = parent[p] {
			if p != root {
				continue
			}
			if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); err == nil && len(b) > 0 {
				lines = append(lines, strings.ReplaceAll(string(b), "\x00", " "))
			}
			break
		}
	}
	return lines
}

// control puts a secret in every place that is searched.
func (c *commands) control() {
	c.t.Helper()
	l := login{host: "control.corp", username: "u", password: canary + "-control"}
	dir := c.t.TempDir()
	file := filepath.Join(dir, "config.yaml")
	b, err := json.Marshal(object{"apiVersion": "berth/v1alpha1", "kind": "RegistryConfig", "registries": []object{
		{"host": l.host, "username": l.username, "password": l.password, "auth": "token"},
	}})
	if err != nil {
		c.t.Fatal(err)
	}
	c.write(file, string(b))
	node := []string{"--root", dir, "-c", file}
	if _, stderr, _, err := c.exec("", "berth", append([]string{"apply"}, node...)...); err != nil {
		c.t.Fatalf("apply: %v: %s", err, stderr)
	}
	stdout, _, _, err := c.exec("", "berth", append([]string{"credentials", "control.corp/x", "--show-secret"}, node...)...)
	if err != nil || !shows(stdout) {
		c.t.Errorf("a secret that is shown on purpose was not found (%v): %s", err, stdout)
	}
	_, stderr, arguments, _ := c.exec("", "berth-credential-provider", "--run-dir", canary)
	if !shows(arguments) {
		c.t.Errorf("a secret among the arguments was not found: %q", arguments)
	}
	if shows(stderr) {
		c.t.Errorf("an argument is repeated: %s", stderr)
	}
}
