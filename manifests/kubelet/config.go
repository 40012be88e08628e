// Package kubelet holds what kubelet has to be given so that it asks Berth's
// credential provider. The YAML files are for people too; nothing else in Berth
// repeats the list of images in them.
package kubelet

import _ "embed"

//go:embed credential-provider-config.yaml
var config []byte

// Config gives the CredentialProviderConfig with Berth's entry alone, comments
// included.
func Config() []byte { return append([]byte(nil), config...) }
