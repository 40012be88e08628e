package leak

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/berth-registry/berth/credprovider"
	"github.com/berth-registry/berth/credprovider/ecr"
	"github.com/berth-registry/berth/credprovider/ecr/client"
	"github.com/berth-registry/berth/test/fakes/fakeaws"
)

// sharedFiles is a control: a provider that reads and writes the same token file for every identity
// of a region. The test must find its leaks.
func (k *kubelet) sharedFiles() *kubelet {
	rules := k.provider.Rules
	rules.ECRNames = nil
	for _, n := range k.provider.Rules.ECRNames {
		n.Chain = ""
		rules.ECRNames = append(rules.ECRNames, n)
	}
	options := ecr.Options{Client: client.New(client.Options{Proxy: rules.Proxy})}
	return &kubelet{
		provider: &credprovider.Provider{Rules: rules, Tokens: rules.Tokens(k.provider.Tokens.Dir, options), Resolve: k.provider.Resolve},
		cache:    map[string]map[string]passed{},
	}
}

// oneIdentityEach reads the token files of the node: each holds tokens of one key, and no two
// identities have the same key.
func (r *round) oneIdentityEach(fake *fakeaws.Server) error {
	names, err := filepath.Glob(filepath.Join(r.root, credprovider.TokenDir, "*.json"))
	if err != nil {
		return err
	}
	keys := map[string]string{} // by identity
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		var file struct{ Token *struct{ Password string } }
		if err := json.Unmarshal(b, &file); err != nil {
			return err
		}
		if file.Token == nil {
			continue
		}
		parts := strings.Split(strings.TrimSuffix(filepath.Base(name), ".json"), "_")
		issued, ok := fake.Token(file.Token.Password)
		if !ok || len(parts) != 3 || string(issued.Service) != parts[0] || issued.Region != parts[2] {
			return fmt.Errorf("%s holds a token of %s %s", name, issued.Service, issued.Region)
		}
		if old, ok := keys[parts[1]]; ok && old != issued.KeyID {
			return fmt.Errorf("%s holds a token of %s, another file of its identity one of %s", name, issued.KeyID, old)
		}
		for identity, id := range keys {
			if id == issued.KeyID && identity != parts[1] {
				return fmt.Errorf("%s holds a token of %s, as the files of another identity do", name, id)
			}
		}
		keys[parts[1]] = issued.KeyID
	}
	return nil
}
