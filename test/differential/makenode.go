package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/berth-registry/berth/test/foreignforms"
)

// node is the root directory of a node, below the working directory.
const node = "node"

const (
	certsDir = "/etc/containerd/certs.d"
	stateDir = "/var/lib/berth"
	tokenDir = "/run/berth/tokens"
)

// entry is one file of a node: regular, or a symlink, directory or fifo.
type entry struct {
	path    string
	mode    fs.FileMode // 0: 0644, or 0755 for a directory
	content string      // target of a symlink
	// longLived marks a token that no AWS issues.
	longLived bool
}

// write writes the file below root unless it exists. No symlink may lead out of root: the target
// would be a file of this machine.
func (e entry) write(root string) error {
	below, err := os.OpenRoot(root)
	if err != nil {
		return err
	}
	defer below.Close()
	name := strings.TrimPrefix(path.Clean(e.path), "/")
	if name == "" {
		return nil
	}
	if err := below.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	perm := e.mode.Perm()
	switch {
	case perm != 0:
	case e.mode.IsDir():
		perm = 0o755
	default:
		perm = 0o644
	}
	switch e.mode.Type() {
	case fs.ModeSymlink:
		return below.Symlink(e.content, name)
	case fs.ModeNamedPipe:
		err = syscall.Mkfifo(filepath.Join(root, name), uint32(perm))
	case fs.ModeDir:
		err = below.MkdirAll(name, 0o755)
	default:
		var f *os.File
		if f, err = below.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm); err != nil {
			return err
		}
		_, err = f.WriteString(e.content)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		return err
	}
	return below.Chmod(name, perm) // independent of the umask
}

// writeSome is write for files that may conflict with another one: then the file is omitted.
func (e entry) writeSome(root string) error {
	err := e.write(root)
	if pathErr := (*fs.PathError)(nil); errors.As(err, &pathErr) {
		return nil
	}
	if linkErr := (*os.LinkError)(nil); errors.As(err, &linkErr) {
		return nil
	}
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}

// layout is a node before the trial.
type layout struct {
	entries []entry
	// before is the config of an earlier apply, "" for none: those files are Berth's own. damage is
	// what has happened to them since.
	before *config
	damage []edit
}

// foreignDirs are directories that other programs make for the upstreams of configs.
var foreignDirs = []string{
	"docker.io", "quay.io", "ghcr.io", "reg.corp", "reg.corp:5000", "reg.corp_5000_", "localhost:5000", "localhost_5000_",
	"_default", "other.corp", ecrEast, "registry-1.docker.io",
}

// makeLayout makes the files of a node.
func makeLayout(c chance, now time.Time) layout {
	var l layout
	add := func(e ...entry) { l.entries = append(l.entries, e...) }
	if !c.in(3) {
		for _, dir := range some(c, 3, foreignDirs...) {
			add(foreign(c, path.Join(pick(c, certsDir, certsDir, certsDir, "/opt/hosts"), dir))...)
		}
	}
	if c.in(2) {
		add(containerdConfig(c)...)
	}
	if c.in(4) {
		add(entry{path: "/etc/kubernetes/credential-providers.yaml", content: "apiVersion: kubelet.config.k8s.io/v1\nkind: CredentialProviderConfig\n" +
			"providers:\n- name: berth-credential-provider\n  apiVersion: credentialprovider.kubelet.k8s.io/v1\n  matchImages: [\"*.dkr.ecr.*.amazonaws.com\"]\n  defaultCacheDuration: 10m\n"})
	}
	if c.in(3) {
		add(tokenFile(c, now))
	}
	if c.in(6) {
		add(entry{path: stateDir + "/learned.json", mode: 0o600, content: learned(c)})
	}
	if c.in(8) {
		add(entry{path: stateDir + "/" + pick(c, "placed.json", "install/install.json"), mode: 0o600, content: "{\"version\": 1}\n"})
	}
	if c.in(2) {
		before := makeConfig(c, "before.yaml")
		l.before = &before
		for range c.IntN(3) {
			l.damage = append(l.damage, makeEdit(c))
		}
	}
	switch c.IntN(40) {
	case 0:
		add(entry{path: stateDir, mode: fs.ModeDir | 0o777})
	case 1:
		add(entry{path: tokenDir, mode: fs.ModeDir | 0o777})
	case 2:
		add(entry{path: tokenDir, mode: fs.ModeDir | 0o755})
	}
	return l
}

// foreign makes a foreign directory below certs.d.
func foreign(c chance, dir string) []entry {
	file := path.Join(dir, "hosts.toml")
	switch c.IntN(16) {
	case 0:
		return []entry{{path: dir, mode: fs.ModeDir}}
	case 1:
		return []entry{{path: path.Join(dir, "ca.crt"), content: certificate(3)}}
	case 2:
		return []entry{
			{path: path.Join(dir, "ca.crt"), content: certificate(3)},
			{path: path.Join(dir, "client.cert"), content: certificate(4)}, {path: path.Join(dir, "client.key"), mode: 0o600, content: privateKey(4)},
		}
	case 3:
		return []entry{{path: file, mode: fs.ModeSymlink, content: pick(c, "../shared.toml", "/etc/hosts", "/opt/hosts/docker.io/hosts.toml")},
			{path: path.Join(path.Dir(dir), "shared.toml"), content: "server = \"https://shared.corp\"\n"}}
	case 4:
		return []entry{{path: dir, mode: fs.ModeSymlink, content: pick(c, "other.corp", "/opt/elsewhere")}}
	case 5:
		return []entry{{path: file, mode: fs.ModeNamedPipe}}
	case 6:
		return []entry{{path: file, content: "server = \"https://large.corp\"\n# " + strings.Repeat("x", 40<<10) + "\n[host.\"https://m.corp\"]\n"}}
	case 7:
		return []entry{{path: file, content: "server = \"https://mirror.corp\"\n\n[host.\"https://harbor.corp\"]\n  capabilities = [\"pull\", \"resolve\"]\n" +
			"[host.\"https://harbor.corp\".header]\n  Authorization = \"Basic dTpw\"\n"}}
	case 8:
		return []entry{{path: file, mode: 0o600, content: "[host.\"https://mirror.corp\"]\n  capabilities = [\"pull\", \"resolve\"]\n"}}
	}
	form := pick(c, foreignforms.All()...)
	return []entry{
		{path: file, content: string(form.Content(foreignforms.Addresses{Plain: "http://127.0.0.1:5009", IPv6: "http://[::1]:5009"}))},
		{path: path.Join(dir, foreignforms.CAFile), content: certificate(5)},
	}
}

// containerdConfig returns a config.toml of some release, with or without a config_path.
func containerdConfig(c chance) []entry {
	paths := pick(c, certsDir, certsDir, "/etc/containerd/certs.d:/etc/docker/certs.d", "/opt/hosts", "/opt/hosts", "")
	plugin := pick(c, "io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images")
	section := fmt.Sprintf("[plugins.'%s'.registry]\n  config_path = %q\n", plugin, paths)
	if plugin == "io.containerd.grpc.v1.cri" {
		section = fmt.Sprintf("[plugins.\"%s\".registry]\nconfig_path = %q\n", plugin, paths)
	}
	main := fmt.Sprintf("version = %d\nimports = [\"/etc/containerd/conf.d/*.toml\"]\n", pick(c, 2, 3, 4))
	if c.in(3) {
		return []entry{{path: "/etc/containerd/config.toml", content: main}, {path: "/etc/containerd/conf.d/10-hosts.toml", content: section}}
	}
	return []entry{{path: "/etc/containerd/config.toml", content: main + section}}
}

// tokenFile returns a token file of an agent, a provider or another program.
func tokenFile(c chance, now time.Time) entry {
	region := pick(c, "us-east-1", "eu-west-1")
	e := entry{path: tokenDir + "/ecr_profile_" + region + ".json", mode: 0o600}
	stamp := func(d time.Duration) string { return now.Add(d).UTC().Format(time.RFC3339) }
	token := func(issued, expires time.Duration) string {
		return fmt.Sprintf(`{"version":1,"service":"ecr","identity":"profile","region":%q,"token":{"username":"AWS","password":"kept.%s","issued":%q,"expires":%q}}`+"\n",
			region, region, stamp(issued), stamp(expires))
	}
	switch c.IntN(6) {
	case 0:
		e.content = token(-20*time.Hour, -8*time.Hour)
	case 1:
		e.content, e.longLived = token(-time.Hour, 200*24*time.Hour), true
	case 2:
		e.content = "{\"version\": 7}\n"
	default:
		e.content = token(-time.Hour, 11*time.Hour)
	}
	return e
}

// learned returns a file with the agent's knowledge about registries.
func learned(c chance) string {
	return fmt.Sprintf(`{"key": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", "facts": [{"url": "https://mirror.corp", "login": "AAAA", "basic": %q, "redirect": "none", "time": "2026-01-02T03:04:05Z"}]}`+"\n",
		pick(c, "accepted", "refused", "unknown"))
}

// edit is a change by another program on a node, the same on both nodes.
type edit struct {
	what string
	// nth selects one of the present files.
	nth int
}

func makeEdit(c chance) edit {
	return edit{pick(c, "append", "append", "replace", "remove", "removeDir", "chmod", "truncate", "link", "certificate", "lostRules", "lostState", "add", "move"), c.IntN(1 << 20)}
}

// do changes the nodes below roots in the same way. It selects the files in the last one.
func (e edit) do(roots ...string) error {
	file, err := e.file(roots[len(roots)-1])
	if err != nil {
		return err
	}
	for _, root := range roots {
		if err := e.change(root, file); err != nil {
			return err
		}
	}
	return nil
}

// file returns a hosts.toml below certs.d, by its path below root; "" if there is none.
func (e edit) file(root string) (string, error) {
	var files []string
	err := filepath.WalkDir(filepath.Join(root, certsDir), func(name string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && d.Name() == "hosts.toml" {
			files = append(files, strings.TrimPrefix(name, root))
		}
		return ignoreMissing(err)
	})
	if err != nil || len(files) == 0 {
		return "", err
	}
	return files[e.nth%len(files)], nil
}

func (e edit) change(root, path string) error {
	if e.what == "lostRules" || e.what == "lostState" {
		name := map[string]string{"lostRules": "provider.json", "lostState": "state.json"}[e.what]
		return ignoreMissing(os.Remove(filepath.Join(root, stateDir, name)))
	}
	if e.what == "add" {
		dir := foreignDirs[e.nth%len(foreignDirs)]
		return entry{path: certsDir + "/" + dir + "/hosts.toml", content: "server = \"https://added.corp\"\n[host.\"https://added.corp\"]\n"}.writeSome(root)
	}
	file := filepath.Join(root, path)
	if info, err := os.Lstat(file); path == "" || err != nil || !info.Mode().IsRegular() {
		return nil // this version has no such file
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	switch e.what {
	case "append":
		return os.WriteFile(file, append(content, "# edited\n"...), 0o644)
	case "replace":
		return os.WriteFile(file, []byte("server = \"https://theirs.corp\"\n[host.\"https://theirs.corp\"]\n"), 0o644)
	case "truncate":
		// In the first line, or in the last one.
		if e.nth%2 == 0 {
			return os.Truncate(file, int64(min(40, len(content))))
		}
		return os.Truncate(file, int64(max(0, len(content)-5)))
	case "remove":
		return os.Remove(file)
	case "removeDir":
		return os.RemoveAll(filepath.Dir(file))
	case "chmod":
		return os.Chmod(file, 0o640)
	case "link":
		if err := os.Remove(file); err != nil {
			return err
		}
		return os.Symlink("/etc/hosts", file)
	case "certificate":
		return os.WriteFile(filepath.Join(filepath.Dir(file), "ca.crt"), []byte(certificate(6)), 0o644)
	case "move":
		return os.Rename(file, file+".bak")
	}
	return fmt.Errorf("edit %q", e.what)
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// copyNode copies a directory with modes, symlinks and fifos.
func copyNode(from, to string) error {
	var dirs []entry
	err := filepath.WalkDir(from, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		e := entry{path: strings.TrimPrefix(name, from), mode: info.Mode()}
		switch {
		case d.IsDir():
			dirs = append(dirs, e)
			return os.MkdirAll(filepath.Join(to, e.path), 0o755)
		case info.Mode()&fs.ModeSymlink != 0:
			e.content, err = os.Readlink(name)
		case info.Mode().IsRegular():
			var content []byte
			content, err = os.ReadFile(name)
			e.content = string(content)
		}
		if err != nil {
			return err
		}
		return e.write(to)
	})
	if err != nil {
		return err
	}
	for _, d := range dirs {
		if err := os.Chmod(filepath.Join(to, d.path), d.mode.Perm()); err != nil {
			return err
		}
	}
	return nil
}
