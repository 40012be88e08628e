package leak

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	dockerconfig "github.com/containerd/containerd/v2/core/remotes/docker/config"

	"github.com/berth-registry/berth/credprovider"
)

// nodeCertsDir is the certs.d of the node's containerd.
const nodeCertsDir = "/etc/containerd/certs.d"

// put makes a directory of certs.d that holds body as hosts.toml ("" for none): as a file, or
// through a symlink. The target of a symlink may exist for the node alone, as in a DaemonSet that
// mounts only certs.d.
func (d *generator) put(name, body string) error {
	r := d.round
	dir := filepath.Join(r.certsDir, name)
	how := "file"
	if body != "" {
		how = pick(d, "file", "file", "file", "absolute", "absolute", "relative", "directory", "below", "dangling")
	}
	away := fmt.Sprintf("/srv/%d", len(r.linked))
	if how != "file" {
		r.linked = append(r.linked, name)
		// Images of such a registry are the ones that matter.
		registry := strings.NewReplacer("_8443_", ":8443", "_5000_", ":5000", "_default", "111122223333.dkr.ecr.eu-west-1.amazonaws.com").Replace(name)
		for range 1 + len(d.hosts) {
			d.hosts = append(d.hosts, registry)
		}
	}
	place := filepath.Join(r.beyond, away)
	target := away + "/hosts.toml"
	switch how {
	case "file":
		if body == "" {
			return os.MkdirAll(dir, 0o755)
		}
		return writeFile(filepath.Join(dir, "hosts.toml"), body)
	case "relative":
		target = "../../../.." + target
	case "directory":
		target, dir = away, filepath.Dir(dir)
	case "below":
		target = "../_theirs/" + name + ".toml"
		return errors.Join(writeFile(filepath.Join(dir, target), body), symlink(target, filepath.Join(dir, "hosts.toml")))
	case "dangling":
		return symlink(target, filepath.Join(dir, "hosts.toml"))
	}
	err := writeFile(filepath.Join(place, "hosts.toml"), body)
	if d.chance(50) {
		err = errors.Join(err, writeFile(filepath.Join(r.root, away, "hosts.toml"), body))
	}
	if how == "directory" {
		return errors.Join(err, symlink(target, filepath.Join(dir, name)))
	}
	return errors.Join(err, symlink(target, filepath.Join(dir, "hosts.toml")))
}

func writeFile(name, body string) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return os.WriteFile(name, []byte(body), 0o644)
}

func symlink(target, name string) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return os.Symlink(target, name)
}

// view copies certs.d to dir as the node's containerd sees it: with the targets of symlinks.
func (r *round) view(dir string) (string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	return dir, filepath.WalkDir(r.certsDir, func(file string, e fs.DirEntry, err error) error {
		if file == r.certsDir && errors.Is(err, fs.ErrNotExist) {
			return nil // there is no file yet
		}
		if err != nil {
			return err
		}
		name, err := filepath.Rel(r.certsDir, file)
		if err != nil {
			return err
		}
		to := filepath.Join(dir, name)
		switch {
		case e.IsDir():
			return os.MkdirAll(to, 0o755)
		case e.Type() == fs.ModeSymlink:
			target, err := os.Readlink(file)
			if err != nil {
				return err
			}
			if !path.IsAbs(target) {
				target = path.Join(nodeCertsDir, path.Dir(name), target)
			}
			if inside, ok := strings.CutPrefix(target, nodeCertsDir+"/"); ok {
				return os.Symlink(filepath.Join(dir, inside), to)
			}
			return os.Symlink(filepath.Join(r.beyond, target), to)
		}
		body, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		return os.WriteFile(to, body, 0o600)
	})
}

// naiveRules is the second control: Berth's rules, except for the directories with symlinks, for
// which containerd's reader reads the file system of this process.
func (r *round) naiveRules(rules credprovider.Rules) credprovider.Rules {
	rules.CertsDir = "" // the control does not compare either
	all := map[string]credprovider.Directory{}
	for _, d := range rules.Directories {
		all[d.Upstream] = d
	}
	read := dockerconfig.ConfigureHosts(silent(context.Background()), dockerconfig.HostOptions{HostDir: dockerconfig.HostDirFromRoot(r.certsDir)})
	for _, name := range r.linked {
		upstream := strings.NewReplacer("_8443_", ":8443", "_5000_", ":5000", "_default", "*").Replace(name)
		registry := strings.Replace(upstream, "*", "any.example", 1)
		hosts, err := read(registry)
		if err != nil {
			continue // Berth's rule is kept
		}
		d := credprovider.Directory{Upstream: upstream}
		for _, h := range hosts {
			if h.Host == "any.example" {
				d.AndUpstream = true
				continue
			}
			p := placeOf(&url.URL{Scheme: h.Scheme, Host: h.Host})
			d.Hosts = append(d.Hosts, credprovider.Host{
				Host:     strings.Replace(h.Host, "registry-1.docker.io", "docker.io", 1),
				Path:     strings.Trim(strings.Replace(h.Path+"/", "/v2/", "/", 1), "/"),
				Insecure: h.Scheme == "http" && !loopback(p),
			})
		}
		all[upstream] = d
	}
	rules.Directories = slices.Collect(maps.Values(all))
	return rules
}

// TestALinkIsNoFile tests the case alone: a hosts.toml that leads a login elsewhere, as a file, and
// as a symlink that only the node can follow.
func TestALinkIsNoFile(t *testing.T) {
	const (
		elsewhere = "server = \"https://elsewhere.example\"\n\n[host]\n"
		itself    = "server = \"https://ghcr.io\"\n\n[host]\n"
		document  = "apiVersion: berth/v1alpha1\nkind: RegistryConfig\nregistries:\n- {host: ghcr.io, username: u, password: " + canary + ", auth: token}\n"
	)
	for name, c := range map[string]struct {
		files    map[string]string // below the root
		link     string            // "directory → target", below certs.d
		withheld bool
		unknown  bool // who is asked; that is told
	}{
		"nothing":                    {nil, "", false, false},
		"a file that does no harm":   {map[string]string{nodeCertsDir + "/ghcr.io/hosts.toml": itself}, "", false, false},
		"a file":                     {map[string]string{nodeCertsDir + "/ghcr.io/hosts.toml": elsewhere}, "", true, false},
		"a link":                     {map[string]string{"/srv/hosts.toml": elsewhere}, "ghcr.io/hosts.toml → /srv/hosts.toml", true, true},
		"to what is not here":        {nil, "ghcr.io/hosts.toml → /srv/hosts.toml", true, true},
		"to another file here":       {map[string]string{"/srv/hosts.toml": itself}, "ghcr.io/hosts.toml → /srv/hosts.toml", true, true},
		"a directory":                {nil, "ghcr.io → /srv", true, true},
		"below certs.d":              {map[string]string{nodeCertsDir + "/_x/a": elsewhere}, "ghcr.io/hosts.toml → ../_x/a", true, false},
		"below certs.d, and no harm": {map[string]string{nodeCertsDir + "/_x/a": itself}, "ghcr.io/hosts.toml → ../_x/a", false, false},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			r := &round{root: filepath.Join(dir, "node"), file: filepath.Join(dir, "config.yaml")}
			err := writeFile(r.file, document)
			for file, body := range c.files {
				err = errors.Join(err, writeFile(filepath.Join(r.root, file), body))
			}
			if from, to, ok := strings.Cut(c.link, " → "); ok {
				err = errors.Join(err, symlink(to, filepath.Join(r.root, nodeCertsDir, from)))
			}
			if err := errors.Join(err, r.apply(t.Context(), nil)); err != nil {
				t.Fatal(err)
			}
			view, err := r.view(filepath.Join(t.TempDir(), "view"))
			if err != nil {
				t.Fatal(err)
			}
			k, err := newKubelet(filepath.Join(r.root, credprovider.RulesFile), filepath.Join(r.root, credprovider.TokenDir), view)
			if err != nil {
				t.Fatal(err)
			}
			p, err := k.credential(t.Context(), "ghcr.io/team/app")
			if (p.password == "") != c.withheld {
				t.Errorf("given %t, %v", p.password != "", err)
			}
			if withheld := (*credprovider.WithheldError)(nil); c.unknown && (!errors.As(err, &withheld) || !strings.Contains(err.Error(), "fix or remove the hosts.toml of ghcr.io")) {
				t.Errorf("the error names no remedy: %v", err)
			}
		})
	}
}
