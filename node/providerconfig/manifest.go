// Package providerconfig holds the CredentialProviderConfig that makes kubelet ask Berth's
// credential provider, and adds Berth's entry to the file of another tool. It reads and writes no
// file.
//
// Nothing else in Berth repeats the list of images: "make generate" makes the files in
// manifests/kubelet of the one here. Start reading at [Ours] and [AddEntry].
package providerconfig

import (
	_ "embed"

	"github.com/berth-registry/berth/credprovider/command"
)

//go:embed credential-provider-config.yaml
var config []byte

// Provider is the name of the credential provider: of its program, and in kubelet's
// configuration.
const Provider = command.Name

// Fetcher is the name of the program that the provider starts to ask AWS. It must be in the same
// directory and of the same version.
const Fetcher = command.Fetcher

// Programs returns the names of the two programs, in the order in which they are installed. They are
// removed in the opposite order.
func Programs() []string { return []string{Fetcher, Provider} }

// Where the program and the configuration are put on a node whose kubelet has no
// credential provider yet.
const (
	ProgramDir = "/usr/local/libexec/berth"
	File       = "/etc/berth/credential-provider-config.yaml"
)

// RequireRules is the argument for a node with a RegistryConfig: the provider gives nothing if the
// rules are missing that Berth writes there.
const RequireRules = "--require-rules"

// ConfigRequiringRules is Config with the argument [RequireRules].
func ConfigRequiringRules() []byte { return append(Config(), "  args: ["+RequireRules+"]\n"...) }

// Config returns the CredentialProviderConfig with Berth's entry alone, comments included.
func Config() []byte { return append([]byte(nil), config...) }
