package node

import (
	"fmt"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"

	yaml "go.yaml.in/yaml/v3"

	"github.com/berth-registry/berth/internal/nodefs"
)

// Provider is an entry of kubelet's CredentialProviderConfig.
type Provider struct {
	Name        string   `yaml:"name"`
	MatchImages []string `yaml:"matchImages"`
}

// ReadProviders reads a CredentialProviderConfig of the node: a file or, since kubelet 1.34, a
// directory of files. The error names the file with which kubelet would not start.
func ReadProviders(root *nodefs.Root, config string) ([]Provider, error) {
	real, err := root.Resolve(config)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", config, err)
	}
	files := []string{real}
	if info, err := os.Stat(real); err == nil && info.IsDir() {
		entries, err := os.ReadDir(real)
		if err != nil {
			return nil, err
		}
		files = nil
		for _, entry := range entries {
			switch filepath.Ext(entry.Name()) {
			case ".json", ".yaml", ".yml":
				files = append(files, filepath.Join(real, entry.Name()))
			}
		}
	}
	var all []Provider
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		var c struct {
			Kind      string     `yaml:"kind"`
			Providers []Provider `yaml:"providers"`
		}
		// JSON is YAML.
		if err := yaml.Unmarshal(raw, &c); err != nil || c.Kind != "CredentialProviderConfig" || len(c.Providers) == 0 {
			return nil, fmt.Errorf("%s: is not a CredentialProviderConfig with providers", file)
		}
		for _, p := range c.Providers {
			if p.Name == "" || p.Name != path.Base(p.Name) || p.Name == "." || p.Name == ".." {
				return nil, fmt.Errorf("%s: providers[].name: %q: must be the file name of a program", file, p.Name)
			}
		}
		all = append(all, c.Providers...)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s: no .json, .yaml or .yml file in this directory", config)
	}
	return all, nil
}

// Asks reports whether kubelet asks the provider of this name about an image,
// host[:port]/repository.
func Asks(providers []Provider, name, image string) bool {
	for _, p := range providers {
		if p.Name != name {
			continue
		}
		for _, pattern := range p.MatchImages {
			if matches(pattern, image) {
				return true
			}
		}
	}
	return false
}

// matches implements kubelet's rules: the same number of labels in the host, each matching its
// pattern, the same port, and a path that begins with the pattern's.
// https://kubernetes.io/docs/tasks/administer-cluster/kubelet-credential-provider/#configure-image-matching
func matches(pattern, image string) bool {
	p, err := url.Parse("https://" + pattern)
	if err != nil {
		return false
	}
	i, err := url.Parse("https://" + image)
	if err != nil || p.Port() != i.Port() || !strings.HasPrefix(i.Path, p.Path) {
		return false
	}
	labels, wanted := strings.Split(i.Hostname(), "."), strings.Split(p.Hostname(), ".")
	if len(labels) != len(wanted) {
		return false
	}
	for n := range wanted {
		if ok, err := filepath.Match(wanted[n], labels[n]); err != nil || !ok {
			return false
		}
	}
	return true
}
