package credprovider

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"github.com/berth-registry/berth/credprovider/ecr"
)

// RulesFile is where the rules are by default.
const RulesFile = "/var/lib/berth/provider.json"

// rulesVersion is the only format that is understood. Rules of another version
// are an error and not skipped: they also say what must be withheld.
const rulesVersion = 1

// maxRules bounds the rules file, in bytes.
const maxRules = 64 << 20

// Rules are what the credential provider knows of a RegistryConfig, secrets
// included. The zero value knows nothing and serves ECR by its own names.
type Rules struct {
	// Registries are the logins of the config itself; they go before those
	// of DockerConfig.
	Registries, DockerConfig []Login
	// ECRSources are the sources of AWS credentials in their order, nil for
	// the default ones. ECRNames are further names of ECR registries.
	ECRSources []ecr.Source
	ECRNames   ecr.Names
	// ECRChains are the sources for registries with a chain of their own, by
	// the name of the chain ([ecr.Name]).
	ECRChains map[string][]ecr.Source
	// Proxy is how AWS is reached.
	Proxy ecr.Proxy
	// Directories are those of containerd's certs.d that hold hosts, one for
	// each upstream. An image of a registry without one is pulled from that
	// registry and nowhere else.
	Directories []Directory
}

// Directory says which hosts containerd asks for the images of one registry.
type Directory struct {
	// Upstream is the host[:port] exactly as in image names, because
	// containerd compares the bytes; "*" is the _default directory.
	Upstream string `json:"upstream"`
	// Hosts are asked in this order, the server last. All of them are listed,
	// but for AndUpstream.
	Hosts []Host `json:"hosts"`
	// AndUpstream adds the registry of the image itself at the end: what
	// containerd does with a file that names no server.
	AndUpstream bool `json:"andUpstream,omitempty"`
}

// Host is one host that containerd may offer a credential to.
type Host struct {
	// Host is host[:port] of its URL. Docker Hub's registry-1.docker.io
	// counts as docker.io.
	Host string `json:"host"`
	// Path is what stands before the repository when a login is looked up:
	// "hub" for https://harbor.corp/v2/hub.
	Path string `json:"path,omitempty"`
	// Insecure marks a host that is asked over plain http, is not this
	// machine, and has no permission for that.
	Insecure bool `json:"insecure,omitempty"`
	// Header says that hosts.toml carries this host's credential already. It
	// needs none from kubelet, so there is nothing to miss when it is
	// withheld.
	Header bool `json:"header,omitempty"`
}

// ReadRules reads a rules file. Without one it gives the zero Rules. The error
// quotes nothing of the file.
func ReadRules(path string) (Rules, error) {
	b, err := readPrivate(path, maxRules)
	if errors.Is(err, fs.ErrNotExist) {
		return Rules{}, nil
	}
	if err != nil {
		return Rules{}, fmt.Errorf("read the rules: %w", err)
	}
	r, err := ParseRules(b)
	if err != nil {
		return Rules{}, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}

// ParseRules reads what [Rules.Encode] wrote. The error quotes nothing of it.
func ParseRules(b []byte) (Rules, error) {
	var w wireRules
	if err := json.Unmarshal(b, &w); err != nil {
		return Rules{}, errors.New("the rules are no JSON of ours; write them again with berth apply")
	}
	if w.Version != rulesVersion {
		return Rules{}, fmt.Errorf("the rules have format version %d, not %d; write them again with berth apply", w.Version, rulesVersion)
	}
	return w.rules(), nil
}

// Encode gives the rules as JSON, with every secret in the open: the result
// belongs into a file of mode 0600.
func (r Rules) Encode() ([]byte, error) {
	b, err := json.MarshalIndent(wireOf(r), "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode the provider's rules: %w", err)
	}
	return append(b, '\n'), nil
}
