package providerconfig

import (
	"fmt"
	"slices"
)

// Audience is the audience of the tokens of service accounts that STS takes.
const Audience = "sts.amazonaws.com"

// TokensSince is the first minor release of kubelet 1 whose tokenAttributes are as Berth writes them.
const TokensSince = 34

// tokenAttributes makes kubelet pass a token of the pod's service account:
// https://kubernetes.io/docs/reference/config-api/kubelet-config.v1/#kubelet-config-k8s-io-v1-ServiceAccountTokenAttributes
type tokenAttributes struct {
	Audience  string `json:"serviceAccountTokenAudience" yaml:"serviceAccountTokenAudience"`
	CacheType string `json:"cacheType" yaml:"cacheType"`
	// Require would keep pods without a service account, such as static ones, from any credential of
	// the provider. Without it kubelet refuses required annotations.
	Require  bool     `json:"requireServiceAccount" yaml:"requireServiceAccount"`
	Optional []string `json:"optionalServiceAccountAnnotationKeys" yaml:"optionalServiceAccountAnnotationKeys"`
	// Required is never written by Berth. kubelet refuses a key that is in both lists.
	Required []string `json:"requiredServiceAccountAnnotationKeys,omitempty" yaml:"requiredServiceAccountAnnotationKeys,omitempty"`
}

// PassesTokens reports whether kubelet passes tokens of service accounts to the provider of this name,
// and which of the annotations it does not pass with them.
func PassesTokens(entries []Entry, name string, annotations []string) (passes bool, lacks []string) {
	for _, e := range entries {
		if e.Name == name && e.TokenAttributes != nil {
			return true, missing(annotations, e.TokenAttributes.keys())
		}
	}
	return false, annotations
}

func (a *tokenAttributes) keys() []string { return slices.Concat(a.Optional, a.Required) }

// with returns attributes that have more annotations; nil without any.
func (a *tokenAttributes) with(annotations []string) *tokenAttributes {
	if len(annotations) == 0 {
		return a
	}
	if a == nil {
		a = &tokenAttributes{Audience: Audience, CacheType: "ServiceAccount"}
	}
	more := *a
	more.Optional = append(slices.Clone(a.Optional), missing(annotations, a.keys())...)
	return &more
}

// lines returns the attributes as YAML.
func (a *tokenAttributes) lines() []string {
	if a == nil {
		return nil
	}
	lines := []string{
		"tokenAttributes:",
		fmt.Sprintf("  serviceAccountTokenAudience: %q", a.Audience),
		"  cacheType: " + a.CacheType,
		fmt.Sprintf("  requireServiceAccount: %t", a.Require),
		"  optionalServiceAccountAnnotationKeys:",
	}
	for _, key := range a.Optional {
		lines = append(lines, fmt.Sprintf("  - %q", key))
	}
	if len(a.Required) > 0 {
		lines = append(lines, "  requiredServiceAccountAnnotationKeys:")
	}
	for _, key := range a.Required {
		lines = append(lines, fmt.Sprintf("  - %q", key))
	}
	return lines
}
