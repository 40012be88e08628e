package main

import (
	"fmt"
	"os"
	"reflect"
	"syscall"
	"time"

	"k8s.io/kubernetes/pkg/credentialprovider"
)

// enter makes dir the root of the file system, and cwd the working directory, so that kubelet's
// paths are in a tree of the caller.
func enter(dir, cwd string) error {
	if err := syscall.Chroot(dir); err != nil {
		return fmt.Errorf("chroot %s: %w", dir, err)
	}
	return os.Chdir(cwd)
}

// nodeLogins is a kubelet's own keyring: the logins in the files of the node. rootDir is kubelet's
// root directory.
func nodeLogins(rootDir string) credentialprovider.DockerKeyring {
	credentialprovider.SetPreferredDockercfgPath(rootDir)
	return defaultKeyring()
}

// lifetime is how long the keyring keeps what it has read.
func lifetime(keyring credentialprovider.DockerKeyring) (time.Duration, error) {
	providers := reflect.ValueOf(keyring).Elem().FieldByName("Providers")
	if !providers.IsValid() || providers.Len() != 1 {
		return 0, fmt.Errorf("a keyring of another form: %T", keyring)
	}
	p, ok := providers.Index(0).Interface().(*credentialprovider.CachingDockerConfigProvider)
	if !ok {
		return 0, fmt.Errorf("a keyring without a cache: %T", keyring)
	}
	return p.Lifetime, nil
}

// nodeLookup returns a function like lookup.
func nodeLookup(keyring credentialprovider.DockerKeyring) func(string) []credential {
	return func(repository string) []credential {
		found, _ := keyring.Lookup(repository)
		all := []credential{}
		for _, c := range found {
			all = append(all, credential{c.Username, c.Password})
		}
		return all
	}
}
