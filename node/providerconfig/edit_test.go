package providerconfig

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

// An existing entry gets the images that it lacks; one that was edited by hand is left alone.
func TestMoreImages(t *testing.T) {
	more := []string{"ghcr.io", "registry.corp:5000/team"}
	for name, before := range map[string]string{
		"JSON": jsonConfig, "YAML": "kind: CredentialProviderConfig\nproviders:\n- name: a\n  args: [x]\n# the end\n",
	} {
		t.Run(name, func(t *testing.T) {
			first, err := AddEntry([]byte(before), Wanted{})
			if err != nil {
				t.Fatal(err)
			}
			at, err := AddEntry([]byte(before), Wanted{Images: more})
			if err != nil {
				t.Fatal(err)
			}
			after, err := AddEntry(first, Wanted{Images: more})
			if err != nil || !bytes.Equal(after, at) {
				t.Fatalf("not as at once: %v\n%s", err, after)
			}
			e, _ := entryIn(after)
			ours, _ := ourEntry()
			if !slices.Equal(e.MatchImages, append(ours.MatchImages, more...)) {
				t.Errorf("matchImages are %q", e.MatchImages)
			}
			for _, images := range [][]string{nil, more, more[:1]} {
				if again, err := AddEntry(after, Wanted{Images: images}); err != nil || !bytes.Equal(again, after) {
					t.Errorf("%q: changed though nothing is missing: %v\n%s", images, err, again)
				}
			}
			if back, err := RemoveEntry(after); err != nil || string(back) != before {
				t.Errorf("removed: %v\n%s", err, back)
			}
			for what, own := range map[string]*strings.Replacer{
				"arguments": strings.NewReplacer(`"name": "berth-credential-provider",`, `"name": "berth-credential-provider", "args": ["x"],`,
					"- name: berth-credential-provider\n", "- name: berth-credential-provider\n  args: [x]\n"),
				"a comment, or a space": strings.NewReplacer(`"berth-credential-provider",`, `"berth-credential-provider" ,`,
					"- name: berth-credential-provider\n", "- name: berth-credential-provider # mine\n"),
			} {
				edited := own.Replace(string(first))
				if edited == string(first) {
					t.Fatalf("%s: nothing is edited", what)
				}
				if got, err := AddEntry([]byte(edited), Wanted{Images: more}); err == nil || !strings.Contains(err.Error(), "ghcr.io, registry.corp:5000/team") || !strings.Contains(err.Error(), "matchImages") {
					t.Errorf("%s: %v\n%s", what, err, got)
				}
			}
		})
	}
	// Ours is the only provider: it cannot be removed first.
	if _, err := AddEntry([]byte("kind: CredentialProviderConfig\nproviders:\n- name: "+Provider+"\n"), Wanted{Images: more}); err == nil || !strings.Contains(err.Error(), "by hand") {
		t.Errorf("%v", err)
	}
}

// A file of Berth has the wanted images, and keeps those that it has.
func TestOurConfig(t *testing.T) {
	images := func(config []byte) []string {
		e, ok := entryIn(config)
		if !ok {
			t.Fatalf("no entry in\n%s", config)
		}
		return e.MatchImages
	}
	plain, err := Ours(Wanted{}, nil)
	if err != nil || !bytes.Equal(plain, Config()) {
		t.Fatalf("without more images it is not the manifest: %v\n%s", err, plain)
	}
	one, err := Ours(Wanted{Images: []string{"ghcr.io", "public.ecr.aws", "ghcr.io"}}, plain)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := images(one), append(images(plain), "ghcr.io"); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	two, err := Ours(Wanted{Images: []string{"docker.io"}}, one)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := images(two), append(images(plain), "docker.io", "ghcr.io"); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if again, err := Ours(Wanted{}, two); err != nil || !bytes.Equal(again, two) {
		t.Errorf("images that nobody wants any more are worth a restart: %v\n%s", err, again)
	}
}

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
			after, err := AddEntry([]byte(test.before), Wanted{})
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range test.after {
				if !strings.Contains(string(after), want) {
					t.Errorf("%q is not in\n%s", want, after)
				}
			}
			again, err := AddEntry(after, Wanted{})
			if err != nil || !bytes.Equal(again, after) {
				t.Errorf("a second time: %v\n%s", err, again)
			}
			back, err := RemoveEntry(after)
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
		if after, err := AddEntry([]byte(text), Wanted{}); err == nil {
			t.Errorf("%s: taken:\n%s", name, after)
		}
	}
}

// In any file, an added entry is the only difference, and removing it leaves the same values.
func FuzzEntry(f *testing.F) {
	f.Add([]byte(jsonConfig))
	f.Add([]byte("kind: CredentialProviderConfig\nproviders:\n  - name: a\n    x: |\n      # no comment\n  # c\nz: 1\n"))
	f.Add([]byte("{kind: CredentialProviderConfig, providers: [{name: a}]}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		_, names, err := parseConfig(data)
		if err != nil || slices.Contains(names, Provider) {
			return
		}
		after, err := AddEntry(data, Wanted{})
		if err != nil {
			return
		}
		_, now, err := parseConfig(after)
		if err != nil || !slices.Equal(now, append(slices.Clone(names), Provider)) {
			t.Fatalf("%v, want one more than %v: %v\n%s", now, names, err, after)
		}
		back, err := RemoveEntry(after)
		if err != nil {
			return
		}
		if _, now, err := parseConfig(back); err != nil || !slices.Equal(now, names) {
			t.Fatalf("%v, want %v: %v", now, names, err)
		}
	})
}

// A node with a RegistryConfig gets the argument, in a file of Berth and in a foreign one; a
// missing argument alone does not change the file.
func TestRequireRules(t *testing.T) {
	const theirs = "kind: CredentialProviderConfig\nproviders:\n- name: other\n  apiVersion: credentialprovider.kubelet.k8s.io/v1\n"
	has := func(data []byte, err error) bool {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		e, ok := entryIn(data)
		if !ok {
			t.Fatalf("no entry in\n%s", data)
		}
		return slices.Equal(e.Args, []string{"--require-rules"})
	}
	for name, write := range map[string]func(now []byte, images []string, require bool) ([]byte, error){
		"ours": func(now []byte, images []string, require bool) ([]byte, error) {
			return Ours(Wanted{Images: images, RequireRules: require}, now)
		},
		"theirs": func(now []byte, images []string, require bool) ([]byte, error) {
			return AddEntry(append([]byte(nil), now...), Wanted{Images: images, RequireRules: require})
		},
		"theirs in JSON": func(now []byte, images []string, require bool) ([]byte, error) {
			return AddEntry(now, Wanted{Images: images, RequireRules: require})
		},
	} {
		before := map[string]string{"ours": "", "theirs": theirs,
			"theirs in JSON": `{"kind":"CredentialProviderConfig","providers":[{"name":"other"}]}`}[name]
		if without, err := write([]byte(before), nil, false); has(without, err) {
			t.Errorf("%s: an argument that was not asked for", name)
		}
		with, err := write([]byte(before), nil, true)
		if !has(with, err) {
			t.Errorf("%s: no argument:\n%s", name, with)
		}
		if again, err := write(with, nil, true); err != nil || string(again) != string(with) {
			t.Errorf("%s: another run makes of it %v\n%s", name, err, again)
		}
		if more, err := write(with, []string{"ghcr.io"}, true); !has(more, err) {
			t.Errorf("%s: lost with another image:\n%s", name, more)
		}
		old, err := write([]byte(before), nil, false)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := write(old, nil, true); err != nil || string(again) != string(old) {
			t.Errorf("%s: written for the argument alone, %v", name, err)
		}
		if more, err := write(old, []string{"ghcr.io"}, true); !has(more, err) {
			t.Errorf("%s: not added with another image:\n%s", name, more)
		}
	}
}

// TestTokenAttributes: an entry gets them once they are wanted, in every form of the file, and keeps
// them afterwards.
func TestTokenAttributes(t *testing.T) {
	first, second := Wanted{RoleAnnotations: []string{"corp/role"}}, Wanted{RoleAnnotations: []string{"corp/role", "other/role"}}
	const theirs = "kind: CredentialProviderConfig\nproviders:\n- name: a\n  args: [x]\n"
	for name, c := range map[string]struct {
		before string
		write  func(now []byte, w Wanted) ([]byte, error)
	}{
		"ours":           {"", func(now []byte, w Wanted) ([]byte, error) { return Ours(w, now) }},
		"theirs in YAML": {theirs, AddEntry},
		"theirs in JSON": {jsonConfig, AddEntry},
	} {
		t.Run(name, func(t *testing.T) {
			now := []byte(c.before)
			for _, step := range []struct {
				want Wanted
				keys []string
			}{{Wanted{}, nil}, {first, []string{"corp/role"}}, {second, []string{"corp/role", "other/role"}}, {first, []string{"corp/role", "other/role"}}, {Wanted{}, []string{"corp/role", "other/role"}}} {
				after, err := c.write(now, step.want)
				if err != nil {
					t.Fatal(err)
				}
				e, ok := entryIn(after)
				switch a := e.TokenAttributes; {
				case !ok || (a == nil) != (step.keys == nil):
					t.Fatalf("%+v: %s", step, after)
				case a != nil && (a.Audience != "sts.amazonaws.com" || a.CacheType != "ServiceAccount" || a.Require || !slices.Equal(a.Optional, step.keys)):
					t.Errorf("%+v: %+v", step, a)
				}
				if again, err := c.write(after, step.want); err != nil || !bytes.Equal(again, after) {
					t.Errorf("%+v: not the same again: %v\n%s", step, err, again)
				}
				now = after
			}
			if c.before != "" {
				if back, err := RemoveEntry(now); err != nil || string(back) != c.before {
					t.Errorf("removed: %v\n%s", err, back)
				}
			}
		})
	}
	edited := theirs + "- name: " + Provider + "\n  tokenAttributes: {cacheType: Token}\n"
	if _, err := AddEntry([]byte(edited), first); err == nil || !strings.Contains(err.Error(), "tokenAttributes") {
		t.Errorf("an entry edited by hand: %v", err)
	}
	// kubelet refuses an annotation that is required and optional.
	required := theirs + "- name: " + Provider + "\n  tokenAttributes: {cacheType: Token, requiredServiceAccountAnnotationKeys: [corp/role]}\n"
	if after, err := AddEntry([]byte(required), first); err != nil || string(after) != required {
		t.Errorf("a required annotation: %v\n%s", err, after)
	}
}
