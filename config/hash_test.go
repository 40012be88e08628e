package config_test

import (
	"regexp"
	"testing"

	"github.com/berth-registry/berth/config"
)

const hashed = `apiVersion: berth/v1alpha1
kind: RegistryConfig
proxy: {httpProxy: "http://u:first@proxy.corp:3128"}
mirrors:
- upstream: docker.io
  endpoints:
  - url: https://harbor.corp/v2/hub
    headers: {X-Token: [first]}
registries:
- host: harbor.corp
  username: reader
  password: first
  tls: {caFile: ca.pem}
ecr:
  credentials:
  - static: {accessKeyID: first, secretAccessKey: first, sessionToken: first}
`

func TestHash(t *testing.T) {
	of := func(text string) string { return config.File{Text: []byte(text)}.Hash() }
	want := of(hashed)
	if !regexp.MustCompile(`\A[0-9a-f]{12}\z`).MatchString(want) {
		t.Fatalf("the hash is %q", want)
	}
	for name, c := range map[string]struct {
		pattern, with string
		same          bool
	}{
		"a comment":              {`(?m)\z`, "# reviewed\n", true},
		"the layout":             {`\{caFile: ca.pem\}`, "\n    caFile: \"ca.pem\"", true},
		"every secret":           {`first`, "second", true},
		"a secret of two lines":  {`password: first`, "password: |\n    first\n    second", true},
		"an endpoint":            {`/v2/hub`, "/v2/cache", false},
		"a user":                 {`reader`, "writer", false},
		"a field is left out":    {`(?m)^  tls:.*\n`, "", false},
		"a secret is left out":   {`(?m)^  password:.*\n`, "", false},
		"the name of a file":     {`ca\.pem`, "ca2.pem", false},
		"text instead of number": {`kind: RegistryConfig`, "kind: RegistryConfig\nhealth: {failures: \"3\"}", false},
	} {
		changed := regexp.MustCompile(c.pattern).ReplaceAllString(hashed, c.with)
		if changed == hashed {
			t.Errorf("%s: nothing is changed", name)
		}
		if got := of(changed); (got == want) != c.same || got == "" {
			t.Errorf("%s: the hash is %q, that of the other text %q", name, got, want)
		}
	}
	number := regexp.MustCompile(`"3"`).ReplaceAllString(hashed+"health: {failures: \"3\"}\n", "3")
	if of(number) == of(hashed+"health: {failures: \"3\"}\n") {
		t.Error("a number and a text have the same hash")
	}
	for _, broken := range []string{"", "a: [", "\x00"} {
		if got := of(broken); got != "" {
			t.Errorf("%q has the hash %s", broken, got)
		}
	}
}

// What the text names and variables that differ between nodes do not count: the hash is of the text.
func TestHashIsOfTheText(t *testing.T) {
	one := config.File{Path: "/a/config.yaml", Text: []byte(hashed), Contents: map[string][]byte{"ca.pem": []byte("one")}}
	two := config.File{Path: "/b/config.yaml", Text: []byte(hashed), Contents: map[string][]byte{"ca.pem": []byte("two")}}
	if one.Hash() != two.Hash() {
		t.Error("the contents of a file that the config names change the hash")
	}
}
