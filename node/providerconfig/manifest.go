// Package providerconfig holds what kubelet has to be given so that it asks Berth's
// credential provider. The YAML files are for people too; nothing else in Berth
// repeats the list of images in them.
package providerconfig

import _ "embed"

//go:embed credential-provider-config.yaml
var config []byte

// RequireRules is the argument with which the provider gives nothing when the
// rules are missing that Berth writes on a node with a RegistryConfig.
const RequireRules = "--require-rules"

// ConfigRequiringRules is Config for a node with a RegistryConfig.
func ConfigRequiringRules() []byte { return append(Config(), "  args: ["+RequireRules+"]\n"...) }

// Config gives the CredentialProviderConfig with Berth's entry alone, comments
// included.
func Config() []byte { return append([]byte(nil), config...) }
