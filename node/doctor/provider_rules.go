package doctor

import (
	"errors"
	"slices"

	"github.com/berth-registry/berth/credprovider"
)

// someECR stands for ECR images for whose registry there is no directory.
const someECR = "111122223333.dkr.ecr.us-east-1.amazonaws.com"

// providerRules reports if the credential provider withholds credentials because containerd finds other
// files than its rules were made for. It makes the provider's own comparison.
func (e *examination) providerRules() {
	const name = "rules"
	file, err := e.Machine.Root.Resolve(credprovider.RulesFile)
	if err != nil {
		e.add(name, Fail, err.Error(), "")
		return
	}
	rules, err := credprovider.ReadRules(file)
	if err != nil {
		e.add(name, Fail, "the credential provider gives nothing: "+err.Error(), "berth apply")
		return
	}
	p := credprovider.Provider{Rules: rules, Resolve: e.Machine.Root.Resolve}
	registries := []string{someECR}
	for _, d := range rules.Directories {
		if d.Upstream != "*" {
			registries = append(registries, d.Upstream)
		}
	}
	paths := []string{"x"} // and the paths that have a login
	for _, l := range slices.Concat(rules.Registries, rules.DockerConfig) {
		if l.Path != "" && !slices.Contains(paths, l.Path) {
			paths = append(paths, l.Path)
		}
	}
	changed := 0
	for _, registry := range registries {
		for _, path := range paths {
			w, ok := errors.AsType[*credprovider.WithheldError](p.Check(registry + "/" + path))
			if ok && w.Changed != "" {
				changed++
				e.add(name, Warn, w.Error(), "berth apply")
				break // the same directory is found for all paths
			}
		}
	}
	switch {
	case changed > 0:
	case rules.Missing:
		e.add(name, OK, "the credential provider has no rules, and no hosts.toml decides about images of ECR", "")
	default:
		e.add(name, OK, "the credential provider's rules fit the files", "")
	}
}
