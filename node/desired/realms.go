package desired

import (
	"fmt"
	"strings"

	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/credprovider"
	"github.com/berth-registry/berth/hostsconf"
	"github.com/berth-registry/berth/internal/realm"
	"github.com/berth-registry/berth/internal/redact"
	"github.com/berth-registry/berth/node/probestate"
)

// RealmError says why a token server must not get a login.
type RealmError struct {
	Server string // scheme://host
	// Noted is the token server that the registry named before, "" if that is not the reason.
	Noted  string
	scheme string // with which the registry is asked
	err    error  // from realm.Check; nil if Noted is the reason
}

// Error completes a sentence that ends in "the token server".
func (e *RealmError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("%s, and the registry named %s before", e.Server, e.Noted)
	}
	if e.Noted != "" {
		return fmt.Sprintf("%s, which %v, and the registry named %s before", e.Server, e.err, e.Noted)
	}
	return fmt.Sprintf("%s, which %v", e.Server, e.err)
}

// Remedy is what an operator can write.
func (e *RealmError) Remedy() string {
	scheme, host, _ := strings.Cut(e.Server, "://")
	if scheme == "http" && e.scheme == "https" || host == redact.Placeholder {
		return basicRemedy
	}
	return fmt.Sprintf("if that server may have the login, write tokenRealms: [%q] in the entry of the registry", host)
}

// checkRealms returns an error if a token server that the registry names must not get the login.
func checkRealms(u hostsconf.URL, listed []string, fact probestate.Fact) *RealmError {
	for _, server := range fact.Realms() {
		if err := checkRealm(u, listed, fact.NotedRealm, server); err != nil {
			if server != fact.Realm && err.err == nil {
				continue // only what is named to the login replaces what was noted
			}
			return err
		}
	}
	return nil
}

func checkRealm(u hostsconf.URL, listed []string, noted, server string) *RealmError {
	other := ""
	if noted != server && !realm.Replaces(u.Scheme, u.Host, server, listed) {
		other = noted
	}
	if err := realm.Check(u.Scheme, u.Host, server, listed); err != nil {
		return &RealmError{server, other, u.Scheme, err}
	}
	if other != "" {
		return &RealmError{server, other, u.Scheme, nil}
	}
	return nil
}

// CheckRealm returns an error if the login for u must not be sent to a token server, as realm.Parse
// returns it. learned is what was learned about registries.
func CheckRealm(cfg *config.Config, learned []probestate.Fact, u hostsconf.URL, server string) error {
	fact, _ := probestate.ParseFact(learned, u)
	if err := checkRealm(u, TokenRealms(cfg, u), fact.NotedRealm, server); err != nil {
		return err
	}
	return nil
}

// TokenRealms returns the hosts of token servers that the config lists for an address: those of the
// entry of registries with the longest path that contains its path and that lists any.
func TokenRealms(cfg *config.Config, u hostsconf.URL) []string {
	return tokenRealms(registriesByHost(cfg), u)
}

func tokenRealms(registries map[string][]config.Registry, u hostsconf.URL) []string {
	var listed []string
	longest := -1
	for _, spelling := range credprovider.Spellings(u.Host, u.Scheme) {
		for _, r := range registries[spelling] {
			_, path := credprovider.SplitHost(r.Host)
			if len(r.TokenRealms) > 0 && len(path) > longest && credprovider.Within(u.RepositoryPath(), path) {
				listed, longest = r.TokenRealms, len(path)
			}
		}
	}
	return listed
}

// registriesByHost sorts the entries of registries by their host.
func registriesByHost(cfg *config.Config) map[string][]config.Registry {
	all := make(map[string][]config.Registry, len(cfg.Registries))
	for _, r := range cfg.Registries {
		host, _ := credprovider.SplitHost(r.Host)
		all[host] = append(all[host], r)
	}
	return all
}
