package credprovider

import (
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// layouts are the paths of containerd's configuration, each with its directory of hosts.toml files:
// containerd's defaults, and those of distributions.
var layouts = [...]struct{ config, certsDir string }{
	{"/etc/containerd/config.toml", "/etc/containerd/certs.d"},
	{"/var/lib/rancher/k3s/agent/etc/containerd/config.toml", "/var/lib/rancher/k3s/agent/etc/containerd/certs.d"},
	{"/var/lib/rancher/rke2/agent/etc/containerd/config.toml", "/var/lib/rancher/rke2/agent/etc/containerd/certs.d"},
	{"/etc/k0s/containerd.toml", "/etc/k0s/containerd.d/certs.d"},
	{"/var/snap/microk8s/current/args/containerd.toml", "/var/snap/microk8s/current/args/certs.d"},
}

// dockerCertsDir is the second directory of the default config_path of containerd 2.2 and later.
const dockerCertsDir = "/etc/docker/certs.d"

// configPathKey is the key of containerd's configuration that names a directory
// of hosts.toml files.
const configPathKey = "config_path"

// maxConfigs is how many files of a configuration are read at most.
const maxConfigs = 64

// search is one list of places where containerd may look for directories: the first of roots that
// has one for a registry counts.
type search struct {
	roots []string
	from  string // the file that names them, "" for the rules
	value string // of config_path in that file
}

// searched lists where containerd may look: the directory of the rules, and those that its
// configuration names, so that a changed config_path is noticed. Without rules or a config_path
// these are the directories of all layouts.
func (p *Provider) searched() []search {
	var all []search
	if !p.Rules.Missing {
		all = append(all, search{roots: []string{p.Rules.CertsDir}})
	}
	for _, config := range configsFor(p.Rules.CertsDir) {
		named := p.configPaths(config)
		if !p.Rules.Missing && slices.ContainsFunc(named, func(s search) bool { return slices.Contains(s.roots, p.Rules.CertsDir) }) {
			// This is the containerd that the rules are for.
			same := func(s search) bool { return slices.Equal(s.roots, all[0].roots) }
			return append(all[:1:1], slices.DeleteFunc(named, same)...)
		}
		all = append(all, named...)
	}
	if len(all) == 0 {
		for _, l := range layouts {
			all = append(all, search{roots: []string{l.certsDir}})
		}
		all = append(all, search{roots: []string{dockerCertsDir}})
	}
	return all
}

// configsFor lists the configurations that may name certsDir. For the directory of a known layout
// this is the configuration of that layout alone: one that another containerd left behind does not
// count. For any other directory these are all.
func configsFor(certsDir string) []string {
	var all []string
	for _, l := range layouts {
		if l.certsDir == certsDir {
			return []string{l.config}
		}
		all = append(all, l.config)
	}
	if certsDir != "" {
		all = append(all, path.Join(path.Dir(certsDir), "config.toml"))
	}
	return all
}

// configPaths returns the values of config_path in a configuration of containerd and in the files
// that it imports. It does not parse TOML: it searches for the word, and for strings that end in
// .toml. A false match costs one more look at a directory.
func (p *Provider) configPaths(config string) []search {
	queue := []string{config}
	queue = append(queue, p.glob(path.Join(path.Dir(config), "conf.d/*.toml"))...)
	seen := map[string]bool{}
	var all []search
	for len(queue) > 0 && len(seen) < maxConfigs {
		file := queue[0]
		queue = queue[1:]
		if seen[file] {
			continue
		}
		seen[file] = true
		content, err := p.read(file)
		if err != nil {
			continue // containerd cannot read it either, or does not start
		}
		for line := range strings.Lines(string(content)) {
			found := strings.Contains(line, configPathKey) || strings.Contains(line, ".toml")
			if !found || strings.HasPrefix(strings.TrimSpace(line), "#") {
				continue
			}
			for _, text := range quoted(line) {
				if strings.HasSuffix(text, ".toml") {
					if !path.IsAbs(text) {
						text = path.Join(path.Dir(file), text)
					}
					queue = append(queue, p.glob(text)...)
				}
			}
			if value := configPath(line); value != "" {
				all = append(all, search{roots: filepath.SplitList(value), from: file, value: value})
			}
		}
	}
	return all
}

// glob lists the files that a path matches. Only its last element may be a pattern.
func (p *Provider) glob(pattern string) []string {
	if !strings.ContainsAny(pattern, "*?[") {
		return []string{pattern}
	}
	dir, last := path.Dir(pattern), path.Base(pattern)
	local, err := p.path(dir)
	if err != nil {
		return nil
	}
	f, err := os.OpenFile(local, os.O_RDONLY|syscall.O_DIRECTORY, 0)
	if err != nil {
		return nil
	}
	defer f.Close()
	names, _ := f.Readdirnames(-1)
	slices.Sort(names)
	var found []string
	for _, name := range names {
		if ok, _ := path.Match(last, name); ok {
			found = append(found, path.Join(dir, name))
		}
	}
	return found
}

// configPath returns the value that a line assigns to the key config_path, "" for none.
func configPath(line string) string {
	for rest := line; ; {
		i := strings.Index(rest, configPathKey)
		if i < 0 {
			return ""
		}
		before := strings.TrimRight(rest[:i], `"'`)
		rest = rest[i+len(configPathKey):]
		if strings.HasSuffix(before, "_") || strings.HasSuffix(before, "-") {
			continue // plugin_config_path
		}
		value, ok := strings.CutPrefix(strings.TrimLeft(rest, "\"' \t"), "=")
		if !ok {
			continue
		}
		if texts := quoted(value); len(texts) > 0 {
			return texts[0]
		}
	}
}

// quoted lists the quoted strings in a line. Escapes are not interpreted.
func quoted(line string) []string {
	var all []string
	for {
		i := strings.IndexAny(line, `"'`)
		if i < 0 {
			return all
		}
		text, rest, ok := strings.Cut(line[i+1:], line[i:i+1])
		if !ok {
			return all
		}
		all, line = append(all, text), rest
	}
}
