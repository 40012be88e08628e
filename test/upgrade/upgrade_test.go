// Package upgrade runs the present programs on nodes that an earlier version left: its record and
// saved originals, rules, tokens, the agent's memory, and the files of its install. It uses the
// commands alone.
//
// The nodes are archives in testdata, made by make.sh from commit 562c094. Berth must read them for
// as long as nodes may come from that version, so they are not made again when the present version
// changes. Only times are moved to the present, and the owner is the user who runs the tests.
package upgrade

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
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

	"github.com/berth-registry/berth/test/gobuild"
	"github.com/berth-registry/berth/test/upgrade/livemirror"
)

// programs is the directory of the present programs.
var programs string

func TestMain(m *testing.M) { os.Exit(build(m)) }

func build(m *testing.M) int {
	dir, err := os.MkdirTemp("", "upgrade-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	if err := gobuild.Programs(context.Background(), "../..", dir+"/", "./cmd/berth", "./cmd/berth-credential-provider", "./cmd/berth-ecr-token"); err != nil {
		panic(err)
	}
	programs = dir
	return m.Run()
}

const certsDir = "etc/containerd/certs.d"

// node is one of the fixtures below a temporary root.
type node struct {
	t    *testing.T
	root string
}

// unpack extracts a fixture below a temporary root.
func unpack(t *testing.T, name string) node {
	t.Helper()
	n := node{t, t.TempDir()}
	f, err := os.Open(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return n
		}
		if err != nil {
			t.Fatal(err)
		}
		n.put(h, r)
	}
}

// ids matches the owner in the records: root, as which the fixtures were made.
var ids = regexp.MustCompile(`"([ug]id)":( ?)0\b`)

func (n node) put(h *tar.Header, r io.Reader) {
	n.t.Helper()
	path := n.path(h.Name)
	mode := h.FileInfo().Mode()
	content, err := io.ReadAll(r)
	if err != nil {
		n.t.Fatal(err)
	}
	if strings.HasSuffix(path, ".json") {
		content = ids.ReplaceAllFunc(content, func(b []byte) []byte {
			m := ids.FindSubmatch(b)
			id := map[string]int{"uid": os.Geteuid(), "gid": os.Getegid()}[string(m[1])]
			return fmt.Appendf(nil, `"%s":%s%d`, m[1], m[2], id)
		})
	}
	switch {
	case mode.IsDir():
		err = os.MkdirAll(path, 0o755)
	case mode&fs.ModeSymlink != 0:
		if err := os.Symlink(h.Linkname, path); err != nil {
			n.t.Fatal(err)
		}
		return
	default:
		err = os.WriteFile(path, content, 0o600)
	}
	if err == nil {
		err = errors.Join(os.Chmod(path, mode.Perm()), os.Chtimes(path, h.ModTime, h.ModTime))
	}
	if err != nil {
		n.t.Fatal(err)
	}
}

func (n node) path(name string) string { return filepath.Join(n.root, name) }

// edit changes a file of the fixture.
func (n node) edit(name string, change func(string) string) {
	n.t.Helper()
	b, err := os.ReadFile(n.path(name))
	if err != nil {
		n.t.Fatal(err)
	}
	after := change(string(b))
	if after == string(b) {
		n.t.Fatalf("%s: nothing was changed", name)
	}
	if err := os.WriteFile(n.path(name), []byte(after), 0o600); err != nil {
		n.t.Fatal(err)
	}
}

// tree describes the files below dir: path to mode and content. Paths with a prefix in skip are
// left out.
func (n node) tree(dir string, skip ...string) map[string]string {
	n.t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(n.path(dir), func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(path, n.root)
		if slices.ContainsFunc(skip, func(s string) bool { return name == s || strings.HasPrefix(name, s+"/") }) {
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		all[name] = info.Mode().String()
		if info.Mode().IsRegular() {
			content, err := os.ReadFile(path)
			all[name] += " " + string(content)
			return err
		}
		return nil
	})
	if err != nil {
		n.t.Fatal(err)
	}
	return all
}

// differences returns the paths that differ between two trees.
func differences(want, got map[string]string) []string {
	var all []string
	for name, w := range want {
		if g, ok := got[name]; !ok {
			all = append(all, name+": missing")
		} else if g != w {
			all = append(all, fmt.Sprintf("%s: %q, want %q", name, g, w))
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			all = append(all, name+": not there before")
		}
	}
	slices.Sort(all)
	return all
}

func (n node) same(what string, want, got map[string]string) {
	n.t.Helper()
	for _, d := range differences(want, got) {
		n.t.Errorf("%s: %s", what, d)
	}
}

// command returns a present program for the node. It must not reach any network.
func (n node) command(program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(n.t.Context(), filepath.Join(programs, program), args...)
	cmd.Dir = n.path("etc") // the old version resolved relative paths here
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + n.root, "GORACE=" + os.Getenv("GORACE"),
		"AWS_EC2_METADATA_SERVICE_ENDPOINT=http://127.0.0.1:1", "AWS_ENDPOINT_URL_ECR=http://127.0.0.1:1",
		"http_proxy=http://127.0.0.1:1", "https_proxy=http://127.0.0.1:1",
	}
	return cmd
}

// berth runs a verb and checks its exit code.
func (n node) berth(code int, args ...string) string {
	n.t.Helper()
	cmd := n.command("berth", append(args, "--root", n.root)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if got := cmd.ProcessState.ExitCode(); got != code {
		n.t.Fatalf("berth %v: exit code %d, want %d: %v\n%s%s", args, got, code, err, out, stderr.String())
	}
	return string(out)
}

// summary is the JSON of plan and apply.
type summary struct {
	Changes []struct{ Action, Path string }
	Saved   []struct{ Path string }
	Rules   bool `json:"providerRules"`
}

func (n node) summary(code int, args ...string) summary {
	n.t.Helper()
	var s summary
	out := n.berth(code, append(args, "-o", "json")...)
	if err := json.Unmarshal([]byte(out), &s); err != nil {
		n.t.Fatalf("%v\n%s", err, out)
	}
	return s
}

// stamps matches the times in Berth's files.
var stamps = regexp.MustCompile(`"(issued|expires|last|since|time)":( ?)"[^"]*"`)

// present moves times to the present: a token was issued an hour ago.
func present(text string) string {
	return stamps.ReplaceAllStringFunc(text, func(s string) string {
		m := stamps.FindStringSubmatch(s)
		at := time.Now().UTC().Truncate(time.Minute)
		switch m[1] {
		case "issued":
			at = at.Add(-time.Hour)
		case "expires":
			at = at.Add(11 * time.Hour)
		}
		return fmt.Sprintf(`"%s":%s"%s"`, m[1], m[2], at.Format(time.RFC3339))
	})
}

// applied returns the node of an old apply, with a valid token.
func applied(t *testing.T) node {
	n := unpack(t, "applied.tar")
	n.edit("run/berth/tokens/ecr_profile_us-east-1.json", present)
	return n
}

// Originals are restored byte for byte, with their modes, and the copy that the old version saved
// of an edit stays.
func TestRestoreAfterUpgrade(t *testing.T) {
	n := applied(t)
	saved := n.tree("var/lib/berth/saved")
	n.berth(0, "restore")
	before := unpack(t, "applied-before.tar")
	n.same("restored", before.tree("."), n.tree(".", "/run", "/var"))
	left := n.tree("var/lib/berth/saved")
	edits := 0
	for name, content := range left {
		if strings.Contains(name, "docker.io") {
			edits++
		}
		if saved[name] != content {
			t.Errorf("%s: %q, was %q", name, content, saved[name])
		}
	}
	if edits != 2 { // the copy and its description
		t.Errorf("of the edit there are %d files: %v", edits, left)
	}
}

// The comparison finds an original that is restored with other content.
func TestRestoreOfAnotherOriginal(t *testing.T) {
	n := applied(t)
	copies, err := filepath.Glob(n.path("var/lib/berth/saved/*quay.io*"))
	if err != nil || len(copies) != 2 {
		t.Fatal(copies, err)
	}
	slices.Sort(copies) // the description has a longer name
	n.edit(strings.TrimPrefix(copies[0], n.root+"/"), func(s string) string { return strings.Replace(s, "quay.corp", "else.corp", 1) })
	cmd := n.command("berth", "restore", "--root", n.root)
	_ = cmd.Run() // whether it refuses or continues does not matter here
	if d := differences(unpack(t, "applied-before.tar").tree("."), n.tree(".", "/run", "/var")); len(d) == 0 {
		t.Error("a damaged original is not noticed")
	}
}

// After the upgrade nothing changes but the rules, which now hold the digests of the files
// (docs/adr/0016).
func TestApplyAfterUpgrade(t *testing.T) {
	n := applied(t)
	was := n.tree(certsDir)
	if s := n.summary(1, "plan"); len(s.Changes) > 0 || !s.Rules {
		t.Errorf("plan: %+v", s)
	}
	if s := n.summary(0, "apply"); len(s.Changes)+len(s.Saved) > 0 || !s.Rules {
		t.Errorf("apply: %+v", s)
	}
	n.same("certs.d", was, n.tree(certsDir))
	if s := n.summary(0, "plan"); len(s.Changes) > 0 || s.Rules {
		t.Errorf("plan, later: %+v", s)
	}
	// The record of the old version is understood: an edit is recognised.
	n.edit(certsDir+"/docker.io/hosts.toml", func(s string) string { return s + "# edited later\n" })
	if s := n.summary(0, "apply"); len(s.Changes) != 1 || s.Changes[0].Action != "repair" || len(s.Saved) != 1 {
		t.Errorf("apply after an edit: %+v", s)
	}
	n.same("certs.d, repaired", was, n.tree(certsDir))
}

// The provider answers from the old rules and tokens as soon as its binary is replaced, and
// withholds the credentials that the old rules withhold.
func TestProviderAfterUpgrade(t *testing.T) {
	n := applied(t)
	for image, want := range map[string]string{
		"111122223333.dkr.ecr.us-east-1.amazonaws.com/app": `"username":"AWS","password":"us-east-1.656372"`,
		"plain.corp/team/app":                              `"username":"team","password":"dummy-team"`,
		"tokens.corp/app":                                  `"username":"robot","password":"dummy-token"`,
		"plain.corp/other/app":                             `"auth":{}`,
		"docker.io/library/nginx":                          `"auth":{}`, // these registries have headers
		"other.corp/app":                                   `"auth":{}`,
	} {
		answer, err := n.ask(image)
		if err != nil || !strings.Contains(answer, want) {
			t.Errorf("%s: %v, %s, want %s", image, err, answer, want)
		}
	}
	// Without its token there is no answer, so the answer above came from the token file.
	if err := os.Remove(n.path("run/berth/tokens/ecr_profile_us-east-1.json")); err != nil {
		t.Fatal(err)
	}
	if answer, err := n.ask("111122223333.dkr.ecr.us-east-1.amazonaws.com/app"); err == nil || answer != "" {
		t.Errorf("without a token: %v, %s", err, answer)
	}
}

// ask runs the provider as kubelet does.
func (n node) ask(image string) (string, error) {
	cmd := n.command("berth-credential-provider", "--root", n.root, "--rules", n.path("var/lib/berth/provider.json"), "--run-dir", n.path("run/berth/tokens"))
	cmd.Stdin = strings.NewReader(`{"kind":"CredentialProviderRequest","apiVersion":"credentialprovider.kubelet.k8s.io/v1","image":"` + image + `"}`)
	out, err := cmd.Output()
	return string(out), err
}

// status is the part of the agent's state that the test uses.
type status struct {
	Phase  string
	Config struct {
		OK, Stale bool
	}
	Converge struct{ Runs int }
	Mirrors  []struct {
		Endpoints []struct {
			URL, State, Basic string
			Withdrawn         bool
		}
	}
	Files struct{ Written, Removed, Repaired int }
}

// With an invalid config the agent starts from the last good one of the old version. It knows which
// mirror does not answer, and that the other one accepts the login, so it changes nothing.
func TestAgentAfterUpgrade(t *testing.T) {
	n := unpack(t, "agent.tar")
	n.edit("var/lib/berth/health.json", present)
	n.edit("var/lib/berth/learned.json", present)
	was := n.tree(certsDir)
	s := n.agentUntil(func(s status) bool { return s.Phase == "converged" && s.Converge.Runs > 0 })
	if s.Config.OK || !s.Config.Stale {
		t.Errorf("config: %+v", s.Config)
	}
	if s.Files.Written+s.Files.Removed+s.Files.Repaired > 0 {
		t.Errorf("files: %+v", s.Files)
	}
	if len(s.Mirrors) != 1 || len(s.Mirrors[0].Endpoints) != 2 {
		t.Fatalf("mirrors: %+v", s.Mirrors)
	}
	if dead := s.Mirrors[0].Endpoints[0]; dead.URL != "http://127.0.0.1:1" || !dead.Withdrawn {
		t.Errorf("the mirror that did not answer: %+v", dead)
	}
	if live := s.Mirrors[0].Endpoints[1]; live.Withdrawn || live.Basic != "accepted" {
		t.Errorf("the mirror that did: %+v", live)
	}
	n.same("certs.d", was, n.tree(certsDir))
}

// Without the old agent's memory the mirror is listed again: so the test above has read it.
func TestAgentWithoutMemory(t *testing.T) {
	n := unpack(t, "agent.tar")
	if err := errors.Join(os.Remove(n.path("var/lib/berth/health.json")), os.Remove(n.path("var/lib/berth/learned.json"))); err != nil {
		t.Fatal(err)
	}
	s := n.agentUntil(func(s status) bool { return s.Phase == "converged" && s.Converge.Runs > 0 })
	if s.Files.Written == 0 || s.Mirrors[0].Endpoints[0].Withdrawn {
		t.Errorf("%+v", s)
	}
}

// agentUntil runs the agent until its state fits, and returns that state.
func (n node) agentUntil(fits func(status) bool) status {
	n.t.Helper()
	mirror, err := livemirror.Start()
	if err != nil {
		n.t.Fatal(err)
	}
	defer mirror.Close()
	cmd := n.command("berth", "agent", "--root", n.root, "--listen", "127.0.0.1:0")
	stderr, err := cmd.StderrPipe()
	if err != nil {
		n.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	addresses, rest := make(chan string, 1), make(chan string, 1)
	go func() {
		listens := regexp.MustCompile(`"msg":"listening","address":"([^"]+)"`)
		var log strings.Builder
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			log.WriteString(lines.Text() + "\n")
			if m := listens.FindStringSubmatch(lines.Text()); m != nil {
				addresses <- m[1]
			}
		}
		close(addresses)
		rest <- log.String()
	}()
	var last status
	address, ok := <-addresses
	for ok && !fits(last) && n.t.Context().Err() == nil {
		last, err = look(n.t.Context(), address)
		if err != nil {
			break
		}
	}
	stop := cmd.Process.Signal(syscall.SIGTERM)
	log := <-rest
	if ended := cmd.Wait(); !ok || err != nil || stop != nil || ended != nil {
		n.t.Fatalf("agent: %v, %v, %v\n%s", err, stop, ended, log)
	}
	return last
}

func look(ctx context.Context, address string) (status, error) {
	var s status
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/status", nil)
	if err != nil {
		return s, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return s, err
	}
	defer response.Body.Close()
	return s, json.NewDecoder(response.Body).Decode(&s)
}

// The changes of an old install are undone from its record, byte for byte.
func TestUninstallAfterUpgrade(t *testing.T) {
	n := unpack(t, "installed.tar")
	before := unpack(t, "installed-before.tar").tree(".")
	if len(differences(before, n.tree(".", "/var"))) == 0 {
		t.Fatal("the fixture is a node without an installation")
	}
	n.berth(0, "uninstall", "--yes")
	n.same("uninstalled", before, n.tree(".", "/var"))
}

// The present install continues with the old record: its additions are undone too.
func TestInstallAfterUpgrade(t *testing.T) {
	n := unpack(t, "installed.tar")
	was := n.tree("etc/containerd")
	// The new package has one program more than that of the fixture.
	fetcher := n.path("usr/bin/berth-ecr-token")
	if err := os.WriteFile(fetcher, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	n.berth(0, "install", "--yes", "--provider", n.path("usr/bin/berth-credential-provider"))
	n.same("containerd's part", was, n.tree("etc/containerd"))
	if err := os.Remove(fetcher); err != nil {
		t.Fatal(err)
	}
	n.berth(0, "uninstall", "--yes")
	n.same("uninstalled", unpack(t, "installed-before.tar").tree("."), n.tree(".", "/var"))
}
