package leak

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/berth-registry/berth/credprovider"
	"github.com/berth-registry/berth/credprovider/ecr"
	"github.com/berth-registry/berth/credprovider/ecr/client"
)

// passed is the login that containerd gets for a pull: kubelet names no host with it.
type passed struct{ username, password string }

// kubelet handles the provider's answers as kubelet does: it asks once for each cache key and
// matches the keys of the answer against the image. The rules are those of
// k8s.io/kubernetes/pkg/credentialprovider.
type kubelet struct {
	provider *credprovider.Provider
	cache    map[string]map[string]passed
}

// view is the node's certs.d as the node's containerd sees it.
func newKubelet(rulesFile, tokenDir, view string) (*kubelet, error) {
	rules, err := credprovider.ReadRules(rulesFile)
	if err != nil {
		return nil, err
	}
	options := ecr.Options{Client: client.New(client.Options{Proxy: rules.Proxy})}
	return &kubelet{
		provider: &credprovider.Provider{
			Rules: rules, Tokens: rules.Tokens(tokenDir, options),
			Resolve: func(hostPath string) (string, error) {
				if below, ok := strings.CutPrefix(hostPath, nodeCertsDir); ok {
					return view + below, nil
				}
				return strings.TrimSuffix(rulesFile, credprovider.RulesFile) + hostPath, nil
			},
		},
		cache: map[string]map[string]passed{},
	}, nil
}

// credential returns the login that kubelet passes for an image without its tag, and the provider's
// reason for passing none.
func (k *kubelet) credential(ctx context.Context, image string) (passed, error) {
	registry, _, _ := strings.Cut(image, "/")
	auth, ok := k.cache["image "+image]
	if !ok {
		auth, ok = k.cache["registry "+registry]
	}
	if !ok {
		var err error
		if auth, err = k.ask(ctx, image, registry); err != nil {
			return passed{}, err
		}
	}
	for key, p := range auth {
		if keyMatches(key, image) {
			return p, nil
		}
	}
	return passed{}, nil
}

func (k *kubelet) ask(ctx context.Context, image, registry string) (map[string]passed, error) {
	request, err := json.Marshal(map[string]string{
		"kind": "CredentialProviderRequest", "apiVersion": "credentialprovider.kubelet.k8s.io/v1", "image": image,
	})
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if err := credprovider.Serve(ctx, bytes.NewReader(request), &out, k.provider); err != nil {
		return nil, err
	}
	var answer struct {
		CacheKeyType, CacheDuration string
		Auth                        map[string]struct{ Username, Password string }
	}
	if err := json.Unmarshal(out.Bytes(), &answer); err != nil {
		return nil, fmt.Errorf("the provider's answer: %w", err)
	}
	auth := map[string]passed{}
	for key, a := range answer.Auth {
		auth[key] = passed{a.Username, a.Password}
	}
	if answer.CacheDuration == "0s" {
		return auth, nil
	}
	switch answer.CacheKeyType {
	case "Image":
		k.cache["image "+image] = auth
	case "Registry":
		k.cache["registry "+registry] = auth
	default:
		return nil, errors.New("the provider's answer has the cache key type " + answer.CacheKeyType)
	}
	return auth, nil
}

// keyMatches is URLsMatchStr: the same number of labels, each a glob; equal ports; and the path as
// a plain prefix, so that team matches team-evil.
func keyMatches(key, image string) bool {
	keyHost, keyPath, _ := strings.Cut(key, "/")
	host, repository, _ := strings.Cut(image, "/")
	keyName, keyPort, _ := strings.Cut(keyHost, ":")
	name, port, _ := strings.Cut(host, ":")
	if keyPort != port || !strings.HasPrefix(repository, keyPath) {
		return false
	}
	globs, labels := strings.Split(keyName, "."), strings.Split(name, ".")
	if len(globs) != len(labels) {
		return false
	}
	for i := range globs {
		if ok, err := path.Match(globs[i], labels[i]); err != nil || !ok {
			return false
		}
	}
	return true
}
