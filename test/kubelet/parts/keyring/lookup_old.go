//go:build before_k8s_1_33

package main

import (
	"k8s.io/kubernetes/pkg/credentialprovider"
	"k8s.io/kubernetes/pkg/credentialprovider/plugin"
)

// Until 1.32 the providers were in a list of the whole process, with the built-in providers of
// clouds.

func register(config, binDir string) error {
	return plugin.RegisterCredentialProviderPlugins(config, binDir)
}

func defaultKeyring() credentialprovider.DockerKeyring {
	return credentialprovider.NewDockerKeyring()
}

func lookup(repository string) []credential {
	found, _ := credentialprovider.NewDockerKeyring().Lookup(repository)
	all := []credential{}
	for _, c := range found {
		all = append(all, credential{c.Username, c.Password})
	}
	return all
}
