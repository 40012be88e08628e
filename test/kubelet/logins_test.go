package kubelet

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// ownFile is where berth writes logins for a kubelet with the default root directory.
const ownFile = "/var/lib/kubelet/config.json"

// tree is a node's file system with a kubelet that runs as berth sees it: with the working directory
// /work and the HOME /root.
type tree struct{ dir string }

func newTree(t *testing.T) tree {
	t.Helper()
	n := tree{t.TempDir()}
	const stat = " (kubelet) S 1"
	for name, content := range map[string]string{
		"/proc/1/stat": "1" + stat, "/proc/900/stat": "900" + stat, "/proc/900/comm": "kubelet\n",
		"/proc/900/cmdline": "kubelet\x00", "/proc/900/environ": "HOME=/root\x00",
		"/var/lib/kubelet/x": "", "/srv/x": "", "/root/x": "",
	} {
		n.write(t, name, content)
	}
	for link, target := range map[string]string{"root": "../..", "cwd": "/srv"} {
		if err := os.Symlink(target, n.path("/proc/900/"+link)); err != nil {
			t.Fatal(err)
		}
	}
	return n
}

func (n tree) path(name string) string { return filepath.Join(n.dir, name) }

func (n tree) write(t *testing.T, name, content string) {
	t.Helper()
	file := n.path(name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(content), 0o600)); err != nil {
		t.Fatal(err)
	}
}

// foreign returns the files that berth says kubelet uses.
func (n tree) foreign(t *testing.T) []string {
	t.Helper()
	const config = "apiVersion: berth/v1alpha1\nkind: RegistryConfig\nkubelet: {configJSON: true}\n" +
		"registries: [{host: token.corp, username: u, password: p, auth: token}]\n"
	cmd := exec.CommandContext(t.Context(), berthBinary(), "plan", "-o", "json", "--config", write(t, "config.yaml", []byte(config)), "--root", n.dir)
	out, err := cmd.Output()
	var plan struct {
		Changes []struct{ Action, Path string }
	}
	if err := errors.Join(json.Unmarshal(out, &plan)); err != nil {
		t.Fatalf("berth plan: %v\n%s", err, out)
	}
	if exit := (*exec.ExitError)(nil); err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 1) {
		t.Fatalf("berth plan: %v", err)
	}
	var files []string
	for _, c := range plan.Changes {
		if c.Action == "conflict" {
			files = append(files, c.Path)
		}
	}
	return files
}

// kubeletTakes returns how long kubelet's code keeps what it reads in the tree, and the user names
// that it has for each image.
func (n tree) kubeletTakes(t *testing.T, p part, images ...string) (lifetime string, users []string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), p.path, "-logins", n.dir, "-dir", "/srv", filepath.Dir(ownFile))
	cmd.Env = []string{"HOME=/root", "PATH=/usr/bin:/bin"}
	cmd.Stdin = strings.NewReader(strings.Join(images, "\n") + "\n")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("kubelet %s: %v", p.version, err)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(lines) != len(images)+1 {
		t.Fatalf("kubelet %s: %q", p.version, out)
	}
	for _, line := range lines[1:] {
		var a struct{ Credentials []credential }
		if err := json.Unmarshal([]byte(line), &a); err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, c := range a.Credentials {
			names = append(names, c.Username)
		}
		users = append(users, strings.Join(names, " "))
	}
	return lines[0], users
}

// TestLoginsKinds: berth calls a file one that kubelet uses exactly if kubelet's own code stops
// there, at each place and for each kind of file. A last file with a login of another host shows
// whether kubelet has gone on to it.
func TestLoginsKinds(t *testing.T) {
	needRoot(t)
	const sentinel = "/.dockercfg"
	file := func(content string) func(string) error {
		return func(name string) error { return os.WriteFile(name, []byte(content), 0o600) }
	}
	kinds := map[string]func(name string) error{
		"login": file(`{"auths": {"a.corp": {"auth": "dTpw"}}}`), "old login": file(`{"a.corp": {"auth": "dTpw"}}`),
		"empty file": file(""), "empty object": file("{}"), "null": file("null"), "list": file("[]"), "cut short": file(`{"auths": {`),
		"text behind": file("{} x"), "byte order mark": file("\ufeff{}"), "list of auths": file(`{"auths": []}`),
		"no base64": file(`{"auths": {"a.corp": {"auth": "%%"}}}`), "no colon": file(`{"auths": {"a.corp": {"auth": "dXA"}}}`),
		"without its padding": file(`{"auths": {"a.corp": {"auth": "dXU6cA"}}}`), "number": file(`{"auths": {"a.corp": {"auth": 5}}}`),
		"null entry": file(`{"auths": {"a.corp": null}}`), "email of another type": file(`{"auths": {"a.corp": {"email": 5}}}`),
		"bad headers": file(`{"HttpHeaders": {"X": 5}}`), "helpers": file(`{"credsStore": "x", "credHelpers": {"a": "b"}}`),
		"directory":               func(name string) error { return os.Mkdir(name, 0o755) },
		"dangling link":           func(name string) error { return os.Symlink("/nothing", name) },
		"link to itself":          func(name string) error { return os.Symlink(filepath.Base(name), name) },
		"link":                    func(name string) error { return os.Symlink("/srv/target", name) },
		"link to the first place": func(name string) error { return os.Symlink(ownFile, name) },
	}
	versions := built(t, "keyring")
	stopped, passed := 0, 0
	for _, place := range []string{
		"/srv/config.json", "/root/.docker/config.json", "/.docker/config.json",
		"/var/lib/kubelet/.dockercfg", "/srv/.dockercfg", "/root/.dockercfg",
	} {
		for kind, create := range kinds {
			n := newTree(t)
			n.write(t, "/srv/target", `{"auths": {"a.corp": {"auth": "dTpw"}}}`)
			if err := errors.Join(os.MkdirAll(filepath.Dir(n.path(place)), 0o755), create(n.path(place))); err != nil {
				t.Fatal(err)
			}
			found := n.foreign(t)
			if len(found) > 0 && !slices.Equal(found, []string{place}) {
				t.Errorf("%s, %s: berth names %q", place, kind, found)
			}
			n.write(t, sentinel, `{"sentinel.corp": {"username": "sentinel", "password": "x"}}`)
			for _, p := range versions {
				_, users := n.kubeletTakes(t, p, "sentinel.corp/app")
				if stops := users[0] != "sentinel"; stops != (len(found) > 0) {
					t.Errorf("%s, %s: kubelet %s stops there: %t, and berth names %q", place, kind, p.version, stops, found)
				} else if stops {
					stopped++
				} else {
					passed++
				}
			}
		}
	}
	if stopped == 0 || passed == 0 {
		t.Errorf("%d files were used, %d skipped: the test shows nothing", stopped, passed)
	}
}

// TestLoginsOrder: the first place wins, and silences each other one: so berth writes there alone,
// and only if nothing else is used.
func TestLoginsOrder(t *testing.T) {
	needRoot(t)
	places := []string{
		ownFile, "/srv/config.json", "/root/.docker/config.json", "/.docker/config.json",
		"/var/lib/kubelet/.dockercfg", "/srv/.dockercfg", "/root/.dockercfg", "/.dockercfg",
	}
	n := newTree(t)
	for i, place := range places {
		login := `{"username": "user` + string(rune('0'+i)) + `", "password": "x"}`
		if strings.HasSuffix(place, "config.json") {
			n.write(t, place, `{"auths": {"a.corp": `+login+`}}`)
		} else {
			n.write(t, place, `{"a.corp": `+login+`}`)
		}
	}
	for i, place := range places {
		if found := n.foreign(t); !slices.Equal(slices.Sorted(slices.Values(found)), slices.Sorted(slices.Values(places[i:]))) {
			t.Errorf("berth names %q, want %q", found, places[i:])
		}
		for _, p := range built(t, "keyring") {
			if _, users := n.kubeletTakes(t, p, "a.corp/app"); users[0] != "user"+string(rune('0'+i)) {
				t.Errorf("kubelet %s takes %q, want the login at %s", p.version, users[0], place)
			}
		}
		if err := os.Remove(n.path(place)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestLoginsReachTheirHost: kubelet's code gives the logins that berth writes to images of their
// hosts, and to no other image. The control is a login for a path, which berth never writes: it also
// serves paths that begin alike.
func TestLoginsReachTheirHost(t *testing.T) {
	needRoot(t)
	n := newTree(t)
	apply(t, n.dir, `kubelet: {configJSON: true}
registries:
- {host: token.corp, username: token, password: p, auth: token}
- {host: "token.corp:5000", username: port, password: p, auth: token}
- {host: docker.io, username: hub, password: p, auth: token}
- {host: "10.0.0.1:5000", username: address, password: p, auth: token}
`, []string{"AWS_EC2_METADATA_SERVICE_ENDPOINT=http://127.0.0.1:1"})
	want := map[string]string{
		"token.corp/app": "token", "token.corp/a/b/c:v1": "token", "token.corp:5000/app": "port",
		"nginx": "hub", "docker.io/library/nginx": "hub", "index.docker.io/team/app": "hub",
		"10.0.0.1:5000/app":   "address",
		"token.corp.evil/app": "", "eviltoken.corp/app": "", "token.corpx/app": "", "x.token.corp/app": "",
		"token.corp:50/app": "", "token.corp:5001/app": "", "corp/token.corp/app": "hub", "docker.io.evil/app": "", "evil.io/docker.io/app": "",
		"10.0.0.1/app": "", "110.0.0.1:5000/app": "", "1.corp/token.corp/app": "", "tokenxcorp.io/app": "",
	}
	images := slices.Sorted(func(yield func(string) bool) {
		for image := range want {
			if !yield(image) {
				return
			}
		}
	})
	for _, p := range built(t, "keyring") {
		lifetime, users := n.kubeletTakes(t, p, images...)
		if lifetime != "5m0s" {
			t.Errorf("kubelet %s keeps logins for %s; our pages say five minutes", p.version, lifetime)
		}
		for i, image := range images {
			if users[i] != want[image] {
				t.Errorf("kubelet %s: %s gets the login of %q, want %q", p.version, image, users[i], want[image])
			}
		}
	}
	control := newTree(t)
	control.write(t, ownFile, `{"auths": {"token.corp/team": {"username": "path", "password": "p"}}}`)
	for _, p := range built(t, "keyring") {
		if _, users := control.kubeletTakes(t, p, "token.corp/team-evil/app"); users[0] != "path" {
			t.Errorf("kubelet %s no longer compares paths as prefixes: berth could write them", p.version)
		}
	}
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("kubelet's code runs in a tree of its own (chroot): run this test as root")
	}
}
