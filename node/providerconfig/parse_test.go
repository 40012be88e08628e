package providerconfig

import "testing"

func TestAsks(t *testing.T) {
	for _, c := range []struct {
		pattern, image string
		want           bool
	}{
		{"docker.io", "docker.io/library/busybox:1", true},
		{"docker.io", "index.docker.io/library/busybox", false},
		{"*.dkr.ecr.*.amazonaws.com", "111122223333.dkr.ecr.us-east-1.amazonaws.com/app", true},
		{"*.dkr.ecr.*.amazonaws.com", "dkr.ecr.us-east-1.amazonaws.com/app", false},
		{"*.io", "ghcr.io/a", true},
		{"*.io", "a.ghcr.io/a", false},
		{"registry.corp", "registry.corp:5000/a", false},
		{"registry.corp:5000", "registry.corp:5000/a", true},
		{"*:5000", "registry:5000/a", true},
		{"registry.corp:5000/team", "registry.corp:5000/team/app", true},
		{"registry.corp:5000/team", "registry.corp:5000/other", false},
		{"%zz", "registry.corp/a", false},
	} {
		entries := []Entry{{Name: "other", MatchImages: []string{c.image}}, {Name: "berth", MatchImages: []string{"x", c.pattern}}}
		if got := Asks(entries, "berth", c.image); got != c.want {
			t.Errorf("%s asks about %s: %t, want %t", c.pattern, c.image, got, c.want)
		}
	}
}

// Reading and editing agree on what is a CredentialProviderConfig. Only an edit refuses a second
// document: kubelet ignores it, and the edit would lose it.
func TestParse(t *testing.T) {
	const good = "kind: CredentialProviderConfig\nproviders:\n- name: a\n"
	for _, c := range []struct {
		name, text string
		read, edit bool
	}{
		{"YAML", good, true, true},
		{"JSON", `{"kind":"CredentialProviderConfig","providers":[{"name":"a"}]}`, true, true},
		{"two documents", good + "---\nkind: x\n", true, false},
		{"another kind", "kind: Pod\nproviders:\n- name: a\n", false, false},
		{"no providers", "kind: CredentialProviderConfig\nproviders: []\n", false, false},
		{"no name", good + "- args: [x]\n", false, false},
		{"a path", good + "- name: ../b\n", false, false},
		{"no list of images", good + "  matchImages: docker.io\n", false, false},
		{"no YAML", "\t{", false, false},
	} {
		entries, err := Parse([]byte(c.text))
		if read := err == nil && len(entries) == 1 && entries[0].Name == "a"; read != c.read {
			t.Errorf("%s: read %v, %v", c.name, entries, err)
		}
		if _, err := AddEntry([]byte(c.text), Wanted{}); (err == nil) != c.edit {
			t.Errorf("%s: edit: %v", c.name, err)
		}
	}
}
