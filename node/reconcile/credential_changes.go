package reconcile

import (
	"cmp"
	"slices"

	"github.com/berth-registry/berth/credprovider"
	"github.com/berth-registry/berth/hostsconf"
	"github.com/berth-registry/berth/internal/managedfile"
	"github.com/berth-registry/berth/internal/redact"
)

// The values of [CredentialChange].Change.
const (
	LoginGained  = "gained"
	LoginLost    = "lost"
	LoginChanged = "changed"
	LoginMoved   = "moved" // lost by From, gained by Host: the same login
)

// The values of [CredentialChange].Channel.
const (
	HeaderChannel   = "header"   // containerd or Docker sends it, from hosts.toml
	ProviderChannel = "provider" // kubelet passes it, by the rules of the credential provider
)

// CredentialChange says who is sent a login by a change, or no longer. It holds no secret.
type CredentialChange struct {
	Channel string `json:"channel"`
	Change  string `json:"change"`
	// Host is the URL of a header, or the host[:port][/path] of a rule.
	Host string `json:"host"`
	From string `json:"from,omitempty"`
	// File is the hosts.toml with the header.
	File string `json:"file,omitempty"`
}

// String returns one line.
func (c CredentialChange) String() string {
	of := ", for images of " + hostsconf.Upstream(c.File)
	gained, lost, changed, moved := "+ "+c.Host+" gets a login"+of, "- "+c.Host+" loses its login"+of,
		"! "+c.Host+" gets another login"+of, "! "+c.Host+" gets the login of "+c.From+of
	if c.Channel == ProviderChannel {
		gained, lost, changed, moved = "+ kubelet may pass the login of "+c.Host, "- kubelet may no longer pass the login of "+c.Host,
			"! kubelet may pass another login of "+c.Host, "! kubelet may pass the login of "+c.From+" to "+c.Host
	}
	return map[string]string{LoginGained: gained, LoginLost: lost, LoginChanged: changed, LoginMoved: moved}[c.Change]
}

// credentialChanges returns what a plan does to credentials; was are the provider's rules on the
// node.
func credentialChanges(changes []managedfile.Change, was, will credprovider.Rules) []CredentialChange {
	var all []CredentialChange
	for _, c := range changes {
		before, after := hostsconf.LoginsOf(c)
		all = append(all, compareLogins(HeaderChannel, c.Path, before, after)...)
	}
	return append(all, compareLogins(ProviderChannel, "", ruleLogins(was), ruleLogins(will))...)
}

// ruleLogins returns the logins that the rules hold. That of a credential helper has no value there.
func ruleLogins(r credprovider.Rules) []hostsconf.Login {
	var all []hostsconf.Login
	for _, l := range slices.Concat(r.Registries, r.DockerConfig) {
		if !slices.ContainsFunc(all, func(have hostsconf.Login) bool { return have.Host == l.Name() }) {
			value := cmp.Or(l.Helper, l.Username+"\x00"+l.Password.Reveal())
			all = append(all, hostsconf.Login{Host: l.Name(), Value: redact.New(value)})
		}
	}
	return all
}

func compareLogins(channel, file string, before, after []hostsconf.Login) []CredentialChange {
	find := func(list []hostsconf.Login, host string) *hostsconf.Login {
		if i := slices.IndexFunc(list, func(l hostsconf.Login) bool { return l.Host == host }); i >= 0 {
			return &list[i]
		}
		return nil
	}
	change := func(what, host, from string) CredentialChange {
		return CredentialChange{Channel: channel, Change: what, Host: redact.Address(host), From: redact.Address(from), File: file}
	}
	var all []CredentialChange
	moved := map[string]bool{}
	for _, l := range after {
		old := find(before, l.Host)
		switch {
		case old != nil && old.Value.Reveal() == l.Value.Reveal():
		case old != nil:
			all = append(all, change(LoginChanged, l.Host, ""))
		default:
			what, from := LoginGained, ""
			for _, b := range before {
				if b.Value.Reveal() == l.Value.Reveal() && find(after, b.Host) == nil && !moved[b.Host] {
					what, from = LoginMoved, b.Host
					moved[b.Host] = true
					break
				}
			}
			all = append(all, change(what, l.Host, from))
		}
	}
	for _, b := range before {
		if find(after, b.Host) == nil && !moved[b.Host] {
			all = append(all, change(LoginLost, b.Host, ""))
		}
	}
	return all
}
