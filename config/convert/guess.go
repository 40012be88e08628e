package convert

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	yaml "go.yaml.in/yaml/v3"

	"github.com/berth-registry/berth/config/convert/draft"
	"github.com/berth-registry/berth/internal/tomldoc"
)

// ErrUnknownKind reports an input whose format [Guess] cannot recognise.
var ErrUnknownKind = errors.New("the format of the file is not recognised")

// Guess returns the format of an input by its content. The error wraps [ErrUnknownKind] and
// contains the remedy.
func Guess(data []byte) (Format, error) {
	if len(data) <= MaxInput {
		if f, ok := guess(bytes.TrimPrefix(data, []byte("\ufeff"))); ok {
			return f, nil
		}
	}
	return "", fmt.Errorf("%w; use --from %s", ErrUnknownKind, draft.FormatList())
}

// GuessDirectory is [Guess] for a directory.
func GuessDirectory(tree fs.FS) (Format, error) {
	has := func(pattern string) bool {
		found, err := fs.Glob(tree, pattern)
		return err == nil && len(found) > 0
	}
	switch {
	case has("daemon.json"), has("certs.d"):
		return Docker, nil
	case has("hosts.toml"), has("*/hosts.toml"), has("*/*.crt"), has("*/*.cert"):
		return CertsD, nil
	}
	return "", errors.New("the directory has no daemon.json and no hosts.toml files; name the " +
		"file to convert")
}

// signs lists fields, by path, that only files of one format have.
var signs = []struct {
	way    []string
	format Format
}{
	{[]string{"private_registries"}, RKE},
	{[]string{"privateRegistries"}, RKE},
	{[]string{"private_registry"}, RKE},
	{[]string{"rancher_kubernetes_engine_config"}, RKE},
	{[]string{"rancherKubernetesEngineConfig"}, RKE},
	{[]string{"spec", "rancherKubernetesEngineConfig"}, RKE},
	{[]string{"desiredState", "rkeConfig"}, RKE},
	{[]string{"currentState", "rkeConfig"}, RKE},
	{[]string{"services", "kubelet", "extra_env"}, RKE},
	{[]string{"spec", "rkeConfig"}, Rancher},
	{[]string{"mirrors"}, K3s},
	{[]string{"configs"}, K3s},
	{[]string{"auths"}, K3s},
	{[]string{"registry-mirrors"}, Docker},
	{[]string{"insecure-registries"}, Docker},
	{[]string{"storage-driver"}, Docker},
	{[]string{"log-driver"}, Docker},
	{[]string{"data-root"}, Docker},
	{[]string{"exec-opts"}, Docker},
}

// guess looks for the signs of exactly one format. A RegistryConfig also has mirrors, but as a
// list.
func guess(data []byte) (Format, bool) {
	var document yaml.Node
	var root *yaml.Node
	if yaml.Unmarshal(data, &document) == nil && len(document.Content) > 0 {
		root = document.Content[0]
	}
	var found []Format
	for _, sign := range signs {
		n := root
		for _, name := range sign.way {
			n = valueOf(n, name)
		}
		if n == nil || sign.format == K3s && n.Kind == yaml.SequenceNode {
			continue
		}
		found = append(found, sign.format)
	}
	switch found = slices.Compact(found); len(found) {
	case 0:
		doc, err := tomldoc.Parse(data)
		if err != nil {
			return "", false
		}
		main := doc.Field("plugins") != nil || doc.Field("version") != nil
		hosts := doc.Field("host") != nil || doc.Field("server") != nil
		if main {
			return Containerd, !hosts
		}
		return CertsD, hosts
	case 1:
		return found[0], true
	}
	return "", false
}

// valueOf returns the value of a field of a mapping, nil if there is none.
func valueOf(n *yaml.Node, name string) *yaml.Node {
	if n != nil && n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == name {
			return n.Content[i+1]
		}
	}
	return nil
}
