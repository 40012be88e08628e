package trace

import (
	"slices"

	"github.com/berth-registry/berth/internal/dockerhub"
	"github.com/berth-registry/berth/internal/kubeletauths"
	"github.com/berth-registry/berth/internal/nodefs"
	"github.com/berth-registry/berth/internal/redact"
	"github.com/berth-registry/berth/node"
	"github.com/berth-registry/berth/node/providerconfig"
)

// KubeletFile gives the field ConfigJSON of a [Tracer], for the config.json that Berth wrote.
func KubeletFile(root *nodefs.Root, file string) func(registry, username string, password redact.Secret) string {
	if file == "" {
		return nil
	}
	logins := node.ReadKubeletLogins(root, file)
	return func(registry, username string, password redact.Secret) string {
		want := kubeletauths.Login{Host: dockerhub.Canonical(registry), Username: username, Password: password}
		if slices.Contains(logins, want) {
			return file
		}
		return ""
	}
}

// LookAtKubelet gives the fields Unasked and KubeletUnloaded of a [Tracer]. refusal returns
// why "berth install --kubelet" would refuse the node, nil when it would not.
func LookAtKubelet(m node.Machine, refusal func() error) (unasked func(image string) string, unloaded string) {
	k, found, err := node.FindKubelet(m)
	if err != nil || !found {
		return nil, ""
	}
	if changed := k.ChangedSince(m); len(changed) > 0 {
		unloaded = changed[0] + " was changed after kubelet was started, and is read only then"
	}
	var providers []providerconfig.Entry
	reason, broken, restart := "kubelet has no credential provider", "", ""
	switch {
	case k.ProviderConfig == "" && k.UnitNamesProvider(m):
		restart = "kubelet was started before its unit named a credential provider; " + node.Restart(k.Unit, "kubelet")
	case k.ProviderConfig != "":
		reason = providerconfig.Provider + " has no such image in its matchImages in " + k.ProviderConfig
		if providers, err = node.ReadProviders(m.Root, k.ProviderConfig); err != nil {
			broken = err.Error()
		}
	}
	return func(image string) string {
		if broken != "" || providerconfig.Asks(providers, providerconfig.Provider, image) {
			return broken
		}
		if restart != "" {
			return restart
		}
		if err := refusal(); err != nil {
			return reason + "; " + err.Error()
		}
		return reason + "; run berth install --kubelet"
	}, unloaded
}
