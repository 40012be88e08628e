//go:build !before_k8s_1_33

package main

import (
	"errors"

	authentication "k8s.io/api/authentication/v1"
	core "k8s.io/api/core/v1"
	"k8s.io/kubernetes/pkg/credentialprovider"
	"k8s.io/kubernetes/pkg/credentialprovider/plugin"
)

// errNoAPIServer is the answer to a provider that needs the pod's service account. Ours does not.
var errNoAPIServer = errors.New("there is no API server")

func register(config, binDir string) error {
	return plugin.RegisterCredentialProviderPlugins(config, binDir,
		func(string, string, *authentication.TokenRequest) (*authentication.TokenRequest, error) {
			return nil, errNoAPIServer
		},
		func(string, string) (*core.ServiceAccount, error) { return nil, errNoAPIServer })
}

func defaultKeyring() credentialprovider.DockerKeyring {
	return credentialprovider.NewDefaultDockerKeyring()
}

func lookup(repository string) []credential {
	keyring := plugin.NewExternalCredentialProviderDockerKeyring("default", "pod", "uid", "default")
	found, _ := keyring.Lookup(repository)
	all := []credential{}
	for _, c := range found {
		all = append(all, credential{c.Username, c.Password})
	}
	return all
}
