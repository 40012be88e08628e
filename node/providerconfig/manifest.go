// Package providerconfig holds the CredentialProviderConfig that makes kubelet ask
// Berth's credential provider. Nothing else in Berth repeats its list of images:
// "make generate" makes the files in manifests/kubelet of the one here.
package providerconfig

import _ "embed"

//go:embed credential-provider-config.yaml
var config []byte

// Provider is the name of the credential provider: of its program, and in kubelet's
// configuration.
const Provider = "berth-credential-provider"

// Where the program and the configuration are put on a node whose kubelet has no
// credential provider yet.
const (
	ProgramDir = "/usr/local/libexec/berth"
	File       = "/etc/berth/credential-provider-config.yaml"
)

// RequireRules is the argument with which the provider gives nothing when the
// rules are missing that Berth writes on a node with a RegistryConfig.
const RequireRules = "--require-rules"

// ConfigRequiringRules is Config for a node with a RegistryConfig.
func ConfigRequiringRules() []byte { return append(Config(), "  args: ["+RequireRules+"]\n"...) }

// Config gives the CredentialProviderConfig with Berth's entry alone, comments
// included.
func Config() []byte { return append([]byte(nil), config...) }
