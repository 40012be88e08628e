package credprovider

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"github.com/berth-registry/berth/credprovider/ecr"
	"github.com/berth-registry/berth/internal/proxy"
)

// RulesFile is the default path of the rules.
const RulesFile = "/var/lib/berth/provider.json"

// The formats that are understood. Rules of another one are an error, because they also say which
// credentials must be withheld. The second is written only when there is a source of the SDK or a
// registry for the pod's own role: a program that does not know them must not take another identity.
const (
	rulesVersion    = 1
	rulesIdentities = 2
	// The third is written only when there is a login of a credential helper: a program that does
	// not know them would answer with an empty login.
	rulesHelpers    = 3
	rulesVersionMax = rulesHelpers
)

// maxRules is the size of the largest rules file, in bytes.
const maxRules = 64 << 20

// Rules are the part of a RegistryConfig that the credential provider knows, secrets included. The
// zero value serves ECR registries by the names that AWS documents.
type Rules struct {
	// Registries are the logins of the config itself; they win over those of DockerConfig.
	Registries, DockerConfig []Login
	// ECRSources are the sources of AWS credentials in their order, nil for the default ones.
	// ECRNames are further names of ECR registries.
	ECRSources []ecr.Source
	ECRNames   ecr.Names
	// ECRChains are the sources for registries with a chain of their own, by
	// the name of the chain ([ecr.Name]).
	ECRChains map[string][]ecr.Source
	// Proxy is the proxy for requests to AWS.
	Proxy proxy.Settings
	// CertsDir is the directory that holds Directories. Without it, as in rules of earlier
	// versions of Berth, the files of the node are not compared.
	CertsDir string
	// Missing says that there are no rules: no directory is known.
	Missing bool
	// Directories are those of containerd's certs.d that hold hosts, one for each upstream. An
	// image of a registry without one is pulled from that registry alone.
	Directories []Directory
}

// Directory says which hosts containerd asks for the images of one registry.
type Directory struct {
	// Upstream is the host[:port] exactly as in image names, because containerd compares the
	// bytes; "*" is the _default directory.
	Upstream string `json:"upstream"`
	// Hosts are all hosts that are asked, in this order, the server last. AndUpstream adds one.
	Hosts []Host `json:"hosts"`
	// AndUpstream adds the registry of the image itself at the end, as containerd does for a file
	// that names no server.
	AndUpstream bool `json:"andUpstream,omitempty"`
	// Files are the digests, as of [Digest], of the contents of hosts.toml for which this is true.
	Files []string `json:"files,omitempty"`
}

// Host is one host that containerd may offer a credential to.
type Host struct {
	// Host is host[:port] of its URL. Docker Hub's registry-1.docker.io
	// counts as docker.io.
	Host string `json:"host"`
	// Path is put before the repository when a login is looked up: "hub" for
	// https://harbor.corp/v2/hub.
	Path string `json:"path,omitempty"`
	// Insecure marks a host that is asked over plain http, is not this machine, and has no
	// permission for that.
	Insecure bool `json:"insecure,omitempty"`
	// Header says that hosts.toml carries this host's credential already, so the host needs none
	// from kubelet.
	Header bool `json:"header,omitempty"`
}

// ReadRules reads a rules file. Without one it returns Rules with Missing set. The error quotes
// nothing of the file.
func ReadRules(path string) (Rules, error) {
	b, err := readPrivate(path, maxRules)
	if errors.Is(err, fs.ErrNotExist) {
		return Rules{Missing: true}, nil
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

// ParseRules parses the output of [Rules.Encode]. The error quotes nothing of it.
func ParseRules(b []byte) (Rules, error) {
	var w wireRules
	if err := json.Unmarshal(b, &w); err != nil {
		return Rules{}, errors.New("the rules are no JSON of ours; write them again with berth apply")
	}
	if w.Version < rulesVersion || w.Version > rulesVersionMax {
		return Rules{}, fmt.Errorf("the rules have format version %d, not %d to %d; write them again with berth apply", w.Version, rulesVersion, rulesVersionMax)
	}
	return w.rules(), nil
}

// Encode returns the rules as JSON, with every secret in clear text: write it to a file of mode
// 0600 only.
func (r Rules) Encode() ([]byte, error) {
	b, err := json.MarshalIndent(wireOf(r), "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode the provider's rules: %w", err)
	}
	return append(b, '\n'), nil
}
