package install

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

const jsonConfig = `{
  "kind": "CredentialProviderConfig",
  "apiVersion": "kubelet.config.k8s.io/v1",
  "providers": [
    {"name": "a", "env": [{"name": "providers", "value": "]"}]},
    {
      "name": "b"
    }
  ],
  "more": []
}
`

func TestEntry(t *testing.T) {
	for _, test := range []struct {
		name, before string
		// after are what must be in the result.
		after []string
	}{
		{"JSON", jsonConfig, []string{"    },\n    {\n      \"name\": \"berth-credential-provider\",", "\n    }\n  ],\n  \"more\": []\n}\n"}},
		{"JSON in tabs", strings.ReplaceAll(jsonConfig, "  ", "\t"), []string{"\n\t\t{\n\t\t\t\"name\": \"berth"}},
		{"JSON in one line", `{"kind":"CredentialProviderConfig","providers":[{"name":"a"}]}`, []string{`[{"name":"a"}, {"name":"berth-credential-provider"`}},
		{"JSON with CRLF", strings.ReplaceAll(jsonConfig, "\n", "\r\n"), []string{",\r\n    {\r\n"}},
		{"YAML", "kind: CredentialProviderConfig\nproviders:\n- name: a\n  args: [x]\n", []string{"  args: [x]\n- name: berth-credential-provider\n  apiVersion: "}},
		{"YAML without a last line end", "kind: CredentialProviderConfig\nproviders:\n- name: a", []string{"- name: a\n- name: berth-credential-provider\n"}},
		{
			"YAML with comments and more behind", "# top\nproviders:\n    # one\n    - name: a # is a\n      matchImages:\n        - '*'\n    # two\n\nkind: CredentialProviderConfig # yes\n",
			[]string{"        - '*'\n    - name: berth-credential-provider\n      apiVersion: ", "\n    # two\n\nkind: CredentialProviderConfig # yes\n"},
		},
		{"YAML with CRLF", "kind: CredentialProviderConfig\r\nproviders:\r\n- name: a\r\n", []string{"- name: a\r\n- name: berth-credential-provider\r\n"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			after, err := addEntry([]byte(test.before))
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range test.after {
				if !strings.Contains(string(after), want) {
					t.Errorf("%q is not in\n%s", want, after)
				}
			}
			again, err := addEntry(after)
			if err != nil || !bytes.Equal(again, after) {
				t.Errorf("a second time: %v\n%s", err, again)
			}
			back, err := removeEntry(after)
			if err != nil || strings.TrimRight(string(back), "\r\n") != strings.TrimRight(test.before, "\r\n") {
				t.Errorf("removed: %v\n%s", err, back)
			}
		})
	}
}

func TestEntryRefused(t *testing.T) {
	for name, text := range map[string]string{
		"no config":           "a: b\n",
		"no YAML":             "\t{",
		"no providers":        "kind: CredentialProviderConfig\nproviders: []\n",
		"a provider's path":   "kind: CredentialProviderConfig\nproviders:\n- name: ../a\n",
		"two documents":       "kind: CredentialProviderConfig\nproviders:\n- name: a\n---\nkind: x\n",
		"a list in one line":  "kind: CredentialProviderConfig\nproviders: [{name: a}]\n",
		"an anchor for names": "x: &p [{name: a}]\nkind: CredentialProviderConfig\nproviders: *p\n",
	} {
		if after, err := addEntry([]byte(text)); err == nil {
			t.Errorf("%s: taken:\n%s", name, after)
		}
	}
}

// Whatever a file is like: an entry that is added is the only difference, and
// taking it out again leaves the same values.
func FuzzEntry(f *testing.F) {
	f.Add([]byte(jsonConfig))
	f.Add([]byte("kind: CredentialProviderConfig\nproviders:\n  - name: a\n    x: |\n      # no comment\n  # c\nz: 1\n"))
	f.Add([]byte("{kind: CredentialProviderConfig, providers: [{name: a}]}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		_, names, err := parseConfig(data)
		if err != nil || slices.Contains(names, Provider) {
			return
		}
		after, err := addEntry(data)
		if err != nil {
			return
		}
		_, now, err := parseConfig(after)
		if err != nil || !slices.Equal(now, append(slices.Clone(names), Provider)) {
			t.Fatalf("%v, want one more than %v: %v\n%s", now, names, err, after)
		}
		back, err := removeEntry(after)
		if err != nil {
			return
		}
		if _, now, err := parseConfig(back); err != nil || !slices.Equal(now, names) {
			t.Fatalf("%v, want %v: %v", now, names, err)
		}
	})
}

func TestHide(t *testing.T) {
	text := "[plugins.auth]\npassword = \"hunter2\"\nidentitytoken=\"hunter2\"\n  \"value\": \"hunter2\",\na = { auth = \"hunter2\" }\nconfig_path = \"/etc\"\r\n"
	got := hide(text)
	if strings.Contains(got, "hunter2") || !strings.Contains(got, "[plugins.auth]\n") || !strings.Contains(got, "config_path = \"/etc\"\r\n") {
		t.Errorf("%s", got)
	}
}
