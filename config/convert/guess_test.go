package convert_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/berth-registry/berth/config/convert"
)

// TestGuess recognises the format of every test input, and of files with little content.
func TestGuess(t *testing.T) {
	for _, input := range goldenInputs(t) {
		got, err := guessInput(input.format, input.data)
		if err != nil || got != input.format {
			t.Errorf("%s: got %q (%v), want %q", input.name, got, err, input.format)
		}
	}
	for input, want := range map[string]convert.Format{
		"private_registries: []":                             convert.RKE,
		"private_registry: {}":                               convert.RKE,
		"rancher_kubernetes_engine_config: {}":               convert.RKE,
		`{"desiredState": {"rkeConfig": {}}}`:                convert.RKE,
		"spec: {rancherKubernetesEngineConfig: {}}":          convert.RKE,
		"mirrors: {}":                                        convert.K3s,
		"configs:\n  a.corp:":                                convert.K3s,
		"auths: {}":                                          convert.K3s,
		"kind: Cluster\nspec: {rkeConfig: {registries: {}}}": convert.Rancher,
		"version = 2":                                        convert.Containerd,
		"\ufeffversion = 2\n[plugins]":                       convert.Containerd,
		"[plugins.cri.registry]":                             convert.Containerd,
		"":                                                   "",
		"mirrors: [":                                         "",
		"mirrors:\n- upstream: docker.io":                    "",
		"mirrors: {}\nprivate_registries: []":                "",
		"kind: Deployment\nspec: {}":                         "",
		"[debug]\nlevel = \"info\"":                          "",
		`{"registry-mirrors": []}`:                           convert.Docker,
		`{"insecure-registries": ["a"], "debug": true}`:      convert.Docker,
		"{\n\t\"log-driver\": \"json-file\"\n}":              convert.Docker,
		`{"auths": {}}`:                                      convert.K3s,
		`{"auths": {}, "registry-mirrors": []}`:              "",
		`server = "https://a.corp"`:                          convert.CertsD,
		"[host.'https://a.corp']":                            convert.CertsD,
		"version = 2\n[host.'https://a.corp']":               "",
		"\x00":                                               "",
	} {
		got, err := convert.Guess([]byte(input))
		if got != want || (err != nil) != (want == "") || err != nil && !errors.Is(err, convert.ErrUnknownKind) {
			t.Errorf("%q: got %q (%v), want %q", input, got, err, want)
		}
	}
}

// TestNothingToConvert refuses an empty result, which would remove every mirror of a node.
func TestNothingToConvert(t *testing.T) {
	for _, test := range []struct {
		format      convert.Format
		input, want string
	}{
		{convert.RKE, "nodes: []\n", "names no private_registries; there is nothing to convert"},
		{convert.RKE, "mirrors: {docker.io: {endpoint: [a.corp]}}\n", "is a file of another kind; use --from k3s"},
		{convert.RKE, "private_registry: [{url: a.corp}]\n", "private_registry: is not a field that RKE knows; write private_registries: with a list below it"},
		{convert.RKE, "spec: {rkeConfig: {registries: {mirrors: {}}}}\n", "is a file of another kind; use --from rancher"},
		{convert.K3s, "private_registries: [{url: a.corp}]\n", "is a file of another kind; use --from rke"},
		{convert.K3s, "mirrors: {}\n", "names neither mirrors nor configs; there is nothing to convert"},
		{convert.K3s, "version = 2\n[plugins]\n", "is a file of another kind; use --from containerd"},
		{convert.Containerd, "mirrors: {docker.io: {endpoint: [a.corp]}}\n", "is a file of another kind; use --from k3s"},
		{convert.Containerd, "version = 2\n", "has no registry settings of the CRI plugin; there is nothing to convert"},
		{convert.Rancher, "spec: {rkeConfig: {}}\n", "has no spec.rkeConfig.registries; there is nothing to convert"},
		{convert.Rancher, "spec: {rkeConfig: {registries: {}}}\n", "has empty spec.rkeConfig.registries; there is nothing to convert"},
	} {
		result, err := convert.Convert(test.format, "input", []byte(test.input), convert.Options{})
		if err == nil || !strings.HasSuffix(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s of %q: got %v\n%s", test.format, test.input, err, result.YAML)
		}
	}
}
