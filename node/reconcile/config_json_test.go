package reconcile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/berth-registry/berth/internal/managedfile"
	"github.com/berth-registry/berth/internal/nodefs"
	"github.com/berth-registry/berth/node"
	"github.com/berth-registry/berth/test/nodetest"
)

const (
	configJSONOn = "kubelet: {configJSON: true}\n"
	tokenLogin   = "registries: [{host: token.corp, username: u, password: one, auth: token}]\n"
	foreignLogin = `{"auths": {"a.corp": {"auth": "dTpw"}}}`
)

// kubeletNode is a node with a kubelet.
type kubeletNode struct {
	*testing.T
	root string
}

func newKubeletNode(t *testing.T) kubeletNode {
	n := kubeletNode{t, t.TempDir()}
	nodetest.Kubelet(t, n.root)
	return n
}

// apply applies a config, after a plan that must announce the same changes of config.json.
func (n kubeletNode) apply(body string) Result {
	n.Helper()
	m := open(n.T, n.root)
	cfg := nodetest.ParseConfig(n.T, body)
	plan, err := m.Plan(n.Context(), cfg)
	if err != nil {
		n.Fatal(err)
	}
	result, err := m.Apply(n.Context(), cfg, nil)
	if err != nil {
		n.Fatal(err)
	}
	if got, want := show(result.Plan.ConfigJSON.Changes), show(plan.ConfigJSON.Changes); got != want {
		n.Errorf("plan says %q, apply does %q", want, got)
	}
	return result
}

func show(changes []managedfile.Change) string {
	var all []string
	for _, c := range changes {
		all = append(all, string(c.Action)+" "+c.Path)
	}
	return strings.Join(all, ", ")
}

// logins shows what kubelet takes from the file.
func (n kubeletNode) logins() string {
	n.Helper()
	m := open(n.T, n.root)
	var all []string
	for _, l := range node.ReadKubeletLogins(m.Root, nodetest.KubeletFile) {
		all = append(all, l.Host+"="+l.Username+":"+l.Password.Reveal())
	}
	return strings.Join(all, " ")
}

func (n kubeletNode) exists(name string) bool {
	_, err := os.Lstat(filepath.Join(n.root, name))
	return err == nil
}

// The file comes with the option and its logins, follows them, and goes with either.
func TestConfigJSONFollowsTheConfig(t *testing.T) {
	for name, after := range map[string]string{
		"the option is gone":      tokenLogin,
		"the login is gone":       configJSONOn,
		"a header serves":         configJSONOn + strings.Replace(tokenLogin, "auth: token", "auth: basic", 1),
		"the login is for a path": configJSONOn + strings.Replace(tokenLogin, "token.corp", "token.corp/team", 1),
	} {
		n := newKubeletNode(t)
		r := n.apply(configJSONOn + tokenLogin)
		if got := n.logins(); got != "token.corp=u:one" {
			t.Fatalf("%s: %q; %q", name, got, r.notices())
		}
		info, err := os.Lstat(filepath.Join(n.root, nodetest.KubeletFile))
		if err != nil || info.Mode() != 0o600 {
			t.Errorf("%v, %v", info.Mode(), err)
		}
		if !strings.Contains(r.notices(), nodetest.KubeletFile+": holds the login of token.corp; kubelet uses a change within five minutes") {
			t.Errorf("%s: %q", name, r.notices())
		}
		n.apply(configJSONOn + strings.Replace(tokenLogin, "one", "two", 1))
		if got := n.logins(); got != "token.corp=u:two" {
			t.Errorf("%s: the password is %q", name, got)
		}
		n.apply(after)
		if n.exists(nodetest.KubeletFile) {
			t.Errorf("%s: the file stays: %s", name, n.logins())
		}
		if plan, err := open(t, n.root).Plan(t.Context(), nodetest.ParseConfig(t, after)); err != nil || plan.Differs() {
			t.Errorf("%s: a second plan differs: %s, %v", name, show(plan.Changes()), err)
		}
	}
}

// Only what kubelet may pass to every host that is asked is in the file; for the rest there is a
// reason.
func TestConfigJSONHoldsWhatTheProviderMayGive(t *testing.T) {
	for _, c := range []struct{ name, config, logins, notice string }{
		{"a mirror that may not have it", "mirrors: [{upstream: token.corp, endpoints: [{url: mirror.corp}]}]\n", "",
			"token.corp: its login is not in kubelet's config.json: credential of token.corp withheld for token.corp: containerd would offer it to mirror.corp"},
		{"a mirror for everything", "mirrors: [{upstream: \"*\", endpoints: [{url: mirror.corp}]}]\n", "", ""},
		{"a mirror of another registry", "mirrors: [{upstream: quay.io, endpoints: [{url: mirror.corp}]}]\n", "token.corp=u:one", ""},
		{"a mirror with the same login", "- {host: mirror.corp, username: u, password: one, auth: token}\nmirrors: [{upstream: token.corp, upstreamFallback: false, endpoints: [{url: mirror.corp}]}]\n", "mirror.corp=u:one token.corp=u:one", ""},
	} {
		n := newKubeletNode(t)
		logins := "registries:\n- {host: token.corp, username: u, password: one, auth: token}\n"
		r := n.apply(configJSONOn + logins + c.config)
		if c.name == "a mirror for everything" {
			// The registry is named, so it has a directory of its own.
			c.logins = "token.corp=u:one"
		}
		if got := n.logins(); got != c.logins || !strings.Contains(r.notices(), c.notice) {
			t.Errorf("%s: %q, want %q; %q", c.name, got, c.logins, r.notices())
		}
	}
	n := newKubeletNode(t)
	r := n.apply(configJSONOn + `
registries:
- {host: token.corp, username: u, password: one, auth: token}
- {host: token.corp/team, username: v, password: two, auth: token}
- {host: "[2001:db8::1]", username: w, password: three, auth: token}
- {host: docker.io, username: h, password: hub, auth: token}
`)
	if got := n.logins(); got != "docker.io=h:hub" {
		t.Errorf("%q", got)
	}
	for _, want := range []string{"token.corp/team; kubelet compares paths as prefixes", "some paths have their own login", "kubelet reads the brackets as a pattern"} {
		if !strings.Contains(r.notices(), want) {
			t.Errorf("no %q in %q", want, r.notices())
		}
	}
}

// A foreign hosts.toml that would see the login takes it out of the file.
func TestConfigJSONAndForeignHosts(t *testing.T) {
	n := newKubeletNode(t)
	n.apply(configJSONOn + tokenLogin)
	nodetest.WriteFile(t, n.root, nodetest.CertsDir+"/token.corp/hosts.toml", "[host.\"https://evil.corp\"]\n")
	r := n.apply(configJSONOn + tokenLogin)
	if n.exists(nodetest.KubeletFile) || !strings.Contains(r.notices(), "containerd would offer it to evil.corp") {
		t.Errorf("%q; %q", n.logins(), r.notices())
	}
}

// A valid foreign file keeps its effect: ours is not written, or goes.
func TestConfigJSONAndForeignFiles(t *testing.T) {
	for _, place := range []string{"/config.json", "/root/.docker/config.json", "/.docker/config.json", "/var/lib/kubelet/.dockercfg", "/.dockercfg", "/root/.dockercfg", nodetest.KubeletFile} {
		for _, later := range []bool{false, true} {
			if later && place == nodetest.KubeletFile {
				continue // an edit of ours
			}
			n := newKubeletNode(t)
			if later {
				n.apply(configJSONOn + tokenLogin)
			}
			nodetest.WriteFile(t, n.root, place, foreignLogin)
			for range 2 {
				r := n.apply(configJSONOn + tokenLogin)
				if s := r.Summary(); s.Conflicts != 1 || !slices.ContainsFunc(r.Report.Conflicts, func(c managedfile.Change) bool { return c.Path == place }) {
					t.Errorf("%s, later %v: %d conflicts: %+v", place, later, s.Conflicts, s.Changes)
				}
			}
			if b, err := os.ReadFile(filepath.Join(n.root, place)); err != nil || string(b) != foreignLogin {
				t.Errorf("%s: the foreign file is %q, %v", place, b, err)
			}
			if place != nodetest.KubeletFile && n.exists(nodetest.KubeletFile) {
				t.Errorf("%s, later %v: ours is there", place, later)
			}
			// Without a login for the file nothing is in conflict.
			if r := n.apply(configJSONOn); r.Summary().Conflicts > 0 {
				t.Errorf("%s: a conflict without a login", place)
			}
			if err := os.Remove(filepath.Join(n.root, place)); err != nil {
				t.Fatal(err)
			}
			n.apply(configJSONOn + tokenLogin)
			if got := n.logins(); got != "token.corp=u:one" {
				t.Errorf("%s: after its removal: %q", place, got)
			}
		}
	}
}

// Each foreign file is named, the one at the first place too.
func TestConfigJSONNamesEachForeignFile(t *testing.T) {
	n := newKubeletNode(t)
	for _, place := range []string{nodetest.KubeletFile, "/config.json", "/.dockercfg"} {
		nodetest.WriteFile(t, n.root, place, foreignLogin)
	}
	r := n.apply(configJSONOn + tokenLogin)
	want := "conflict " + nodetest.KubeletFile + ", conflict /config.json, conflict /.dockercfg"
	if got := show(r.Report.Conflicts); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// An edit is saved and corrected; a symlink in place of the file is another program's.
func TestConfigJSONIsEdited(t *testing.T) {
	n := newKubeletNode(t)
	n.apply(configJSONOn + tokenLogin)
	nodetest.WriteFile(t, n.root, nodetest.KubeletFile, foreignLogin)
	r := n.apply(configJSONOn + tokenLogin)
	if len(r.Report.Saved) != 1 || n.logins() != "token.corp=u:one" {
		t.Errorf("saved %+v, and the file has %q", r.Report.Saved, n.logins())
	} else if b, err := os.ReadFile(filepath.Join(n.root, r.Report.Saved[0].Copy)); err != nil || string(b) != foreignLogin {
		t.Errorf("the copy: %q, %v", b, err)
	}
	file := filepath.Join(n.root, nodetest.KubeletFile)
	nodetest.WriteFile(t, n.root, "/etc/mine.json", foreignLogin)
	if err := errors.Join(os.Remove(file), os.Symlink("/etc/mine.json", file)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if r := n.apply(configJSONOn + tokenLogin); len(r.Report.Conflicts) != 1 {
			t.Errorf("conflicts %+v", r.Report.Conflicts)
		}
	}
	if info, err := os.Lstat(file); err != nil || info.Mode()&fs.ModeSymlink == 0 {
		t.Errorf("the symlink: %v, %v", info, err)
	}
}

// Without a process of kubelet nothing is begun, and a file of ours goes on following the config.
func TestConfigJSONWithoutAKubelet(t *testing.T) {
	n := newKubeletNode(t)
	kubelet := filepath.Join(n.root, "proc/900")
	hide := func() {
		if err := os.Rename(kubelet, kubelet+".hidden"); err != nil {
			t.Fatal(err)
		}
	}
	hide()
	if r := n.apply(configJSONOn + tokenLogin); n.exists(nodetest.KubeletFile) || !strings.Contains(r.notices(), "no login is written: no process of kubelet is seen") {
		t.Errorf("%q; %q", n.logins(), r.notices())
	}
	if err := os.Rename(kubelet+".hidden", kubelet); err != nil {
		t.Fatal(err)
	}
	n.apply(configJSONOn + tokenLogin)
	hide()
	r := n.apply(configJSONOn + strings.Replace(tokenLogin, "one", "two", 1))
	if got := n.logins(); got != "token.corp=u:two" || !strings.Contains(r.notices(), "whether kubelet uses another file is not known") {
		t.Errorf("%q; %q", got, r.notices())
	}
	n.apply(configJSONOn)
	if n.exists(nodetest.KubeletFile) {
		t.Error("the file stays without a login")
	}
}

// Another root directory of kubelet takes the file along.
func TestConfigJSONMoves(t *testing.T) {
	n := newKubeletNode(t)
	n.apply(configJSONOn + tokenLogin)
	nodetest.WriteFile(t, n.root, "/data/pki", "")
	nodetest.WriteFile(t, n.root, "/proc/900/cmdline", "kubelet\x00--root-dir=/data\x00")
	n.apply(configJSONOn + tokenLogin)
	if n.exists(nodetest.KubeletFile) || !n.exists("/data/config.json") {
		t.Error("the file did not move")
	}
}

// restore leaves what was there before.
func TestConfigJSONIsRestored(t *testing.T) {
	n := newKubeletNode(t)
	n.apply(configJSONOn + tokenLogin)
	if _, err := open(t, n.root).Restore(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, gone := range []string{nodetest.KubeletFile, StateDir} {
		if n.exists(gone) {
			t.Errorf("%s is left", gone)
		}
	}
	if !n.exists("/var/lib/kubelet/pki") {
		t.Error("kubelet's own file is gone")
	}
}

// On a full disk a login that must go takes the file along; one that stays, stays.
func TestConfigJSONOnAFullDisk(t *testing.T) {
	const two = "registries: [{host: token.corp, username: u, password: one, auth: token}, {host: b.corp, username: u, password: b, auth: token}]\n"
	for _, c := range []struct {
		name, before, after string
		stays               bool
	}{
		{"withdrawn", tokenLogin, "registries: []\n", false},
		{"replaced", tokenLogin, strings.Replace(tokenLogin, "one", "two", 1), false},
		{"one of two withdrawn", two, tokenLogin, false},
		{"one added", tokenLogin, two, true},
	} {
		n := newKubeletNode(t)
		m, full := fullNode(t, n.root)
		if _, err := m.Apply(t.Context(), nodetest.ParseConfig(t, configJSONOn+c.before), nil); err != nil {
			t.Fatal(err)
		}
		full.Store(true)
		after := nodetest.ParseConfig(t, configJSONOn+c.after)
		if _, err := m.Apply(t.Context(), after, nil); err == nil {
			t.Errorf("%s: no error on a full disk", c.name)
		}
		if n.exists(nodetest.KubeletFile) != c.stays {
			t.Errorf("%s: the file has %q", c.name, n.logins())
		}
		full.Store(false)
		if _, err := m.Apply(t.Context(), after, nil); err != nil {
			t.Fatal(err)
		}
		want := ""
		for _, l := range after.Registries {
			want = strings.TrimSpace(l.Host + "=" + l.Username + ":" + l.Password.Reveal() + " " + want)
		}
		if got := n.logins(); got != want {
			t.Errorf("%s: with space again %q, want %q", c.name, got, want)
		}
	}
}

// If kubelet's own file system is full, a replaced login is removed all the same.
func TestConfigJSONInAFullDirectory(t *testing.T) {
	n := newKubeletNode(t)
	n.apply(configJSONOn + tokenLogin)
	m := open(t, n.root)
	store, err := managedfile.Open(m.Root, StateDir, managedfile.WithSteps(func(s nodefs.Step) error {
		if strings.HasPrefix(s.Path, "/var/lib/kubelet") && s.Op == "create" {
			return unix.ENOSPC
		}
		return nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	m.Store = store
	cfg := nodetest.ParseConfig(t, configJSONOn+strings.Replace(tokenLogin, "one", "two", 1))
	if _, err := m.Apply(t.Context(), cfg, nil); !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("%v", err)
	}
	if n.exists(nodetest.KubeletFile) {
		t.Errorf("the old login is left: %q", n.logins())
	}
}

// While hosts.toml files change, the file holds only what is right before and after.
func TestConfigJSONDuringATransition(t *testing.T) {
	const mirror = "mirrors: [{upstream: token.corp, endpoints: [{url: mirror.corp}]}]\n"
	n := newKubeletNode(t)
	n.apply(configJSONOn + tokenLogin)
	m := open(t, n.root)
	stop := errors.New("stop")
	var seen []string
	store, err := managedfile.Open(m.Root, StateDir, managedfile.WithSteps(func(s nodefs.Step) error {
		if !strings.HasPrefix(s.Path, nodetest.CertsDir) {
			return nil
		}
		seen = append(seen, n.logins())
		return stop
	}))
	if err != nil {
		t.Fatal(err)
	}
	m.Store = store
	if _, err := m.Apply(t.Context(), nodetest.ParseConfig(t, configJSONOn+tokenLogin+mirror), nil); !errors.Is(err, stop) {
		t.Fatalf("%v, want the change of certs.d stopped", err)
	}
	if len(seen) == 0 || slices.ContainsFunc(seen, func(s string) bool { return s != "" }) {
		t.Errorf("when certs.d changes, the file has %q", seen)
	}
}

// The credentials of an image name the file.
func TestConfigJSONLogin(t *testing.T) {
	n := newKubeletNode(t)
	n.apply(configJSONOn + tokenLogin)
	m := open(t, n.root)
	for image, want := range map[string]string{"token.corp/a/b:v1": "u", "other.corp/a": "", "token.corp.evil/a": "", "a": ""} {
		l, file, err := m.ConfigJSONLogin(image)
		if err != nil || l.Username != want || (file == nodetest.KubeletFile) != (want != "") {
			t.Errorf("%s: %v, %q, %v", image, l, file, err)
		}
	}
	if _, _, err := m.ConfigJSONLogin("A B"); err == nil {
		t.Error("no error for a name that is none")
	}
}

// TestConfigJSONOfAHelper: the answer of a credential helper is in the file, never an empty login, and
// goes with it.
func TestConfigJSONOfAHelper(t *testing.T) {
	n := newKubeletNode(t)
	program := filepath.Join(t.TempDir(), "docker-credential-x")
	write := func(script string) {
		t.Helper()
		if err := os.WriteFile(program, []byte("#!/bin/sh\n"+script), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	write(`read host; echo "{\"ServerURL\":\"$host\",\"Username\":\"u\",\"Secret\":\"one\"}"`)
	body := configJSONOn + "registries: [{host: token.corp, auth: token, credentialHelper: " + program + "}]\n"
	n.apply(body)
	if got := n.logins(); got != "token.corp=u:one" {
		t.Errorf("the file holds %q", got)
	}
	m := open(t, n.root)
	if err := m.removeHelperLogins(); err != nil {
		t.Fatal(err)
	}
	write("exit 7")
	result, err := m.Apply(t.Context(), nodetest.ParseConfig(t, body), nil)
	if _, ok := errors.AsType[*HelperError](err); !ok {
		t.Errorf("a helper that fails: %v", err)
	}
	if n.exists(nodetest.KubeletFile) {
		t.Errorf("the file stays: %q", n.logins())
	}
	said := false
	for _, notice := range result.Plan.ConfigJSON.Notices {
		said = said || strings.Contains(notice.String(), "has given none yet")
	}
	if !said {
		t.Errorf("no reason: %v", result.Plan.ConfigJSON.Notices)
	}
}
