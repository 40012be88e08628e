package providerconfig

import (
	"errors"
	"fmt"
	"net/url"
	"path"
	"path/filepath"
	"strings"

	yaml "go.yaml.in/yaml/v3"
)

// Entry is one provider of a CredentialProviderConfig (kubelet.config.k8s.io).
type Entry struct {
	Name                 string   `json:"name" yaml:"name"`
	APIVersion           string   `json:"apiVersion" yaml:"apiVersion"`
	MatchImages          []string `json:"matchImages" yaml:"matchImages"`
	DefaultCacheDuration string   `json:"defaultCacheDuration" yaml:"defaultCacheDuration"`
	Args                 []string `json:"args,omitempty" yaml:"args,omitempty"`

	TokenAttributes *tokenAttributes `json:"tokenAttributes,omitempty" yaml:"tokenAttributes,omitempty"`
}

var errNotConfig = errors.New("is not a CredentialProviderConfig with providers")

// Parse returns the providers of a CredentialProviderConfig, one or more. JSON is YAML.
func Parse(data []byte) ([]Entry, error) {
	var c struct {
		Kind      string  `yaml:"kind"`
		Providers []Entry `yaml:"providers"`
	}
	if err := yaml.Unmarshal(data, &c); err != nil || c.Kind != "CredentialProviderConfig" || len(c.Providers) == 0 {
		return nil, errNotConfig
	}
	for _, e := range c.Providers {
		if e.Name == "" || e.Name != path.Base(e.Name) || e.Name == "." || e.Name == ".." {
			return nil, fmt.Errorf("providers[].name: %q: must be the file name of a program", e.Name)
		}
	}
	return c.Providers, nil
}

// Asks reports whether kubelet asks the provider of this name about an image,
// host[:port]/repository.
func Asks(entries []Entry, name, image string) bool {
	for _, e := range entries {
		if e.Name != name {
			continue
		}
		for _, pattern := range e.MatchImages {
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
