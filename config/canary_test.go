package config

import (
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	yaml "go.yaml.in/yaml/v3"
)

// canary is part of every secret that TestNoSecretIsRepeated writes into a config.
const canary = "hunter2kanary"

// canaries returns forms in which people write logins into the wrong place.
func canaries() []string {
	return []string{
		canary, "puller:" + canary, "password:" + canary, "x.corp password:" + canary, canary + "@K7", "puller:" + canary + "@x.corp",
		"https://puller:" + canary + "@x.corp", "https://puller:" + canary, "https://" + canary, "https//" + canary, "https://x.corp/?token=" + canary,
		base64.StdEncoding.EncodeToString([]byte("puller:" + canary)), base64.StdEncoding.EncodeToString([]byte("x" + canary)),
		"Basic " + base64.RawURLEncoding.EncodeToString([]byte("p:"+canary)), "/" + base64.StdEncoding.EncodeToString([]byte(canary+canary)),
	}
}

// repeats returns the part of text that shows the canary: itself or a part of its base64.
func repeats(text string) string {
	lower := strings.ToLower(text)
	if strings.Contains(lower, canary) {
		return canary
	}
	for shift := range 3 {
		encoded := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("x", shift) + canary + "xx"))
		if inner := encoded[4 : len(encoded)-4]; strings.Contains(text, inner) || strings.Contains(lower, strings.ToLower(inner)) {
			return inner
		}
	}
	return ""
}

// TestNoSecretIsRepeated writes a secret into every place of many configs: instead of each value,
// name, list and mapping, as a comment, and by joining lines and leaving out spaces. No error and
// no warning may repeat it.
func TestNoSecretIsRepeated(t *testing.T) {
	n := newNode(t)
	documents := map[string]string{"every section": everySection}
	maps.Copy(documents, cases(t, "bad"))
	maps.Copy(documents, cases(t, "good"))
	tried := 0
	check := func(name, document string) {
		tried++
		_, warnings, err := n.parse(document)
		told := fmt.Sprint(warnings)
		if err != nil {
			told += "\n" + err.Error()
		}
		if leak := repeats(told); leak != "" && !t.Failed() {
			t.Errorf("%s: %s is repeated in\n%s\nof\n%s", name, leak, told, document)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(documents)) {
		document := documents[name]
		if strings.Contains(name, "file") && strings.Contains(document, "huge") {
			continue // this one parses the document many times
		}
		secrets := canaries()
		for place, more := 0, true; more; place++ {
			// One config gets all of them at each place, the others get two.
			some := secrets
			if name != "every section" {
				some = []string{secrets[(tried+place)%len(secrets)], secrets[(tried+2*place+1)%len(secrets)]}
			}
			for _, secret := range some {
				var mutated string
				if mutated, more = withSecretAt(document, place, secret); more {
					check(name, mutated)
				}
			}
		}
		lines := strings.Split(document, "\n")
		for i := range lines {
			for _, change := range []func() []string{
				func() []string { return []string{lines[i] + " # " + canary} },
				func() []string { return []string{lines[i] + "password:" + canary} },
				func() []string { return []string{lines[i] + " password:" + canary} },
				func() []string { return []string{lines[i], "  password:" + canary} },
				func() []string { return []string{strings.ReplaceAll(lines[i], ": ", ":"+canary)} },
			} {
				check(name, strings.Join(slices.Concat(lines[:i], change(), lines[i+1:]), "\n"))
			}
		}
	}
	if tried < 5_000 {
		t.Errorf("only %d documents were tried", tried)
	}
}

// withSecretAt replaces the node with this number by secret; it returns false if there are fewer
// nodes.
func withSecretAt(document string, number int, secret string) (string, bool) {
	var root yaml.Node
	if yaml.Unmarshal([]byte(document), &root) != nil || len(root.Content) == 0 {
		return "", false
	}
	count := 0
	var put func(n *yaml.Node) bool
	put = func(n *yaml.Node) bool {
		for _, child := range n.Content {
			if count == number {
				*child = yaml.Node{Kind: yaml.ScalarNode, Value: secret}
				return true
			}
			count++
			if put(child) {
				return true
			}
		}
		return false
	}
	if !put(root.Content[0]) {
		return "", false
	}
	text, err := yaml.Marshal(&root)
	return string(text), err == nil
}
