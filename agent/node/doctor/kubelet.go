package doctor

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"

	yaml "go.yaml.in/yaml/v3"

	"github.com/berth-registry/berth/agent/node"
)

// provider is the name of our credential provider, in kubelet's configuration
// and as a program.
const provider = "berth-credential-provider"

// kubelet looks at its credential providers. With an invalid configuration, or
// without one of the programs, kubelet does not start.
func (e *examination) kubelet() {
	const name = "kubelet"
	k, found, err := node.FindKubelet(e.Host)
	switch {
	case err != nil:
		e.add(name, Warn, err.Error(), "run this as root")
		return
	case !found:
		k = e.builtInKubelet()
		if k.ProviderConfig == "" {
			e.add(name, OK, "no kubelet was seen here; nothing of it is needed for credentials in headers", "")
			return
		}
	case k.ProviderConfig == "" && k.ProviderDir == "":
		e.add(name, OK, "kubelet has no credential provider; credentials in headers need none", "")
		return
	case k.ProviderConfig == "" || k.ProviderDir == "":
		e.add(name, Fail, "kubelet has one of the flags --image-credential-provider-config and --image-credential-provider-bin-dir, and needs both", "set both flags, or none")
		return
	}
	programs, err := e.providers(k.ProviderConfig)
	if err != nil {
		e.add(name, Fail, err.Error(), "mend it; kubelet does not start with it")
		return
	}
	ours := false
	for _, program := range programs {
		file := path.Join(k.ProviderDir, program)
		real, err := e.Host.Root.Resolve(file)
		if err == nil {
			var info os.FileInfo
			if info, err = os.Stat(real); err == nil && info.Mode()&0o111 == 0 {
				err = fmt.Errorf("has mode %04o, which nobody can run", info.Mode().Perm())
			}
		}
		if err != nil {
			e.add(name, Fail, fmt.Sprintf("%s names the provider %s, and %s: %v", k.ProviderConfig, program, file, errText(err)), "put the program there before kubelet is restarted; without it kubelet does not start")
			return
		}
		ours = ours || program == provider
	}
	if ours {
		e.add(name, OK, fmt.Sprintf("kubelet asks %s, by %s", provider, k.ProviderConfig), "")
		return
	}
	e.add(name, OK, fmt.Sprintf("kubelet asks %s by %s, and not Berth; credentials in headers need nothing of it", strings.Join(programs, ", "), k.ProviderConfig), "")
}

func errText(err error) string {
	if isNotExist(err) {
		return "is not there"
	}
	return err.Error()
}

// builtInKubelet: k3s and RKE2 have theirs inside, and take a provider from here
// without a flag.
func (e *examination) builtInKubelet() node.Kubelet {
	const dir = "/var/lib/rancher/credentialprovider"
	k := node.Kubelet{ProviderConfig: dir + "/config.yaml", ProviderDir: dir + "/bin"}
	if _, err := e.Host.Root.Lstat(k.ProviderConfig); err != nil || e.engine.Layout != node.K3s && e.engine.Layout != node.RKE2 {
		return node.Kubelet{}
	}
	return k
}

// providers gives the names in a CredentialProviderConfig, a file or, since
// kubelet 1.34, a directory of them.
func (e *examination) providers(config string) ([]string, error) {
	real, err := e.Host.Root.Resolve(config)
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
	var names []string
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		var c struct {
			Kind      string `yaml:"kind"`
			Providers []struct {
				Name string `yaml:"name"`
			} `yaml:"providers"`
		}
		// JSON is YAML.
		if err := yaml.Unmarshal(raw, &c); err != nil || c.Kind != "CredentialProviderConfig" || len(c.Providers) == 0 {
			return nil, fmt.Errorf("%s: is no CredentialProviderConfig with providers", file)
		}
		for _, p := range c.Providers {
			if p.Name == "" || p.Name != path.Base(p.Name) || p.Name == "." || p.Name == ".." {
				return nil, fmt.Errorf("%s: a provider without a name that a program can have", file)
			}
			names = append(names, p.Name)
		}
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("%s: holds no configuration", config)
	}
	return names, nil
}
