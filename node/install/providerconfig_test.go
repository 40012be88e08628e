package install

import (
	"bytes"
	"encoding/base64"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/berth-registry/berth/node/providerconfig"
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

// TestMoreImages: an entry that is there gets what is missing, and one that
// somebody has worked on is left alone.
func TestMoreImages(t *testing.T) {
	more := []string{"ghcr.io", "registry.corp:5000/team"}
	for name, before := range map[string]string{
		"JSON": jsonConfig, "YAML": "kind: CredentialProviderConfig\nproviders:\n- name: a\n  args: [x]\n# the end\n",
	} {
		t.Run(name, func(t *testing.T) {
			first, err := addEntry([]byte(before), nil, false)
			if err != nil {
				t.Fatal(err)
			}
			at, err := addEntry([]byte(before), more, false)
			if err != nil {
				t.Fatal(err)
			}
			after, err := addEntry(first, more, false)
			if err != nil || !bytes.Equal(after, at) {
				t.Fatalf("not as at once: %v\n%s", err, after)
			}
			e, _ := entryIn(after)
			ours, _ := ourEntry()
			if !slices.Equal(e.MatchImages, append(ours.MatchImages, more...)) {
				t.Errorf("matchImages are %q", e.MatchImages)
			}
			for _, images := range [][]string{nil, more, more[:1]} {
				if again, err := addEntry(after, images, false); err != nil || !bytes.Equal(again, after) {
					t.Errorf("%q: changed though nothing is missing: %v\n%s", images, err, again)
				}
			}
			if back, err := removeEntry(after); err != nil || string(back) != before {
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
				if got, err := addEntry([]byte(edited), more, false); err == nil || !strings.Contains(err.Error(), "ghcr.io, registry.corp:5000/team") || !strings.Contains(err.Error(), "matchImages") {
					t.Errorf("%s: %v\n%s", what, err, got)
				}
			}
		})
	}
	// Ours alone: nothing could be left in its place for a moment.
	if _, err := addEntry([]byte("kind: CredentialProviderConfig\nproviders:\n- name: "+Provider+"\n"), more, false); err == nil || !strings.Contains(err.Error(), "by hand") {
		t.Errorf("%v", err)
	}
}

// TestOurConfig: a file of our own has what is wanted, and keeps what it has.
func TestOurConfig(t *testing.T) {
	images := func(config []byte) []string {
		e, ok := entryIn(config)
		if !ok {
			t.Fatalf("no entry in\n%s", config)
		}
		return e.MatchImages
	}
	plain, err := ourConfig(nil, false, nil)
	if err != nil || !bytes.Equal(plain, providerconfig.Config()) {
		t.Fatalf("without more images it is not the manifest: %v\n%s", err, plain)
	}
	one, err := ourConfig([]string{"ghcr.io", "public.ecr.aws", "ghcr.io"}, false, plain)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := images(one), append(images(plain), "ghcr.io"); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	two, err := ourConfig([]string{"docker.io"}, false, one)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := images(two), append(images(plain), "docker.io", "ghcr.io"); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if again, err := ourConfig(nil, false, two); err != nil || !bytes.Equal(again, two) {
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
			after, err := addEntry([]byte(test.before), nil, false)
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range test.after {
				if !strings.Contains(string(after), want) {
					t.Errorf("%q is not in\n%s", want, after)
				}
			}
			again, err := addEntry(after, nil, false)
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
		if after, err := addEntry([]byte(text), nil, false); err == nil {
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
		after, err := addEntry(data, nil, false)
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
	// In urls, over several lines, in tables of which all is secret, in JSON.
	for _, text := range []string{
		"endpoint = [\"https://bob:hunter2@mirror.corp\"]\n",
		"endpoint = [\n  \"https://mirror.corp\",\n  \"https://hunter2@mirror.corp/v2\",\n]\n",
		"[plugins.\"io.containerd.grpc.v1.cri\".registry.headers]\nX-Meta = [\n \"hunter2\",\n]\n",
		"[plugins.cri.registry.configs.\"r.corp:5000\".auth]\n  pw = \"hunter2\"\n",
		"{\"providers\":[{\"name\":\"a\",\"env\":[{\"name\":\"A\",\"value\":\"hunter2\"}]}]}\n",
		"[{\"name\": \"A\", \"value\": \"hunter2\"}]\n",
	} {
		if got := hide(text); strings.Contains(got, "hunter2") {
			t.Errorf("%s becomes\n%s", text, got)
		}
	}
	shown := "[plugins.cri.registry.headers]\nA = 1\n[plugins.cri.registry.mirrors.\"r.corp:5000\"]\nendpoint = [\"https://m.corp\"] # at@home\n[[plugins.x]]\nb = 2\n"
	if got := hide(shown); got != strings.NewReplacer("# at@home", "# (not shown)", "A = 1", "A = (not shown)").Replace(shown) {
		t.Errorf("%s", got)
	}
}

// TestHiddenChange: a change is told though nothing of it can be shown.
func TestHiddenChange(t *testing.T) {
	before := `{"kind":"CredentialProviderConfig","providers":[{"name":"a","env":[{"name":"A","value":"hunter2"}]}]}`
	after, err := addEntry([]byte(before), nil, false)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	c := Change{Path: "/etc/p.json", What: "change", Before: []byte(before), After: after, Foreign: true}
	c.write(&out, func(_, text string) string { return text })
	if text := out.String(); !strings.Contains(text, "not shown") || strings.Contains(text, "hunter2") {
		t.Errorf("%s", text)
	}
}

// TestRequireRules: a node with a RegistryConfig gets the argument, in a file of
// ours as in another's; it is not worth a restart by itself.
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
			return ourConfig(images, require, now)
		},
		"theirs": func(now []byte, images []string, require bool) ([]byte, error) {
			return addEntry(append([]byte(nil), now...), images, require)
		},
		"theirs in JSON": func(now []byte, images []string, require bool) ([]byte, error) { return addEntry(now, images, require) },
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

// TestNoSecretIsShown writes a secret into every place of files that others wrote:
// as a value, a name, an item, an argument, a comment, behind another value.
func TestNoSecretIsShown(t *testing.T) {
	const canary = "hunter2kanary"
	encoded := base64.StdEncoding.EncodeToString([]byte("puller:" + canary))
	files := []string{
		"version = 2\nroot = \"/var/lib/containerd\"\n[plugins.\"io.containerd.grpc.v1.cri\".registry]\n  config_path = \"\"\n" +
			"[plugins.\"io.containerd.grpc.v1.cri\".registry.mirrors.\"docker.io\"]\n  endpoint = [\"https://m.corp\", \"b\"]\n" +
			"[plugins.\"io.containerd.grpc.v1.cri\".registry.configs.\"m.corp\".auth]\n  username = \"u\"\n  pw = \"p\"\n[x]\nodd = 1\n",
		"apiVersion: kubelet.config.k8s.io/v1\nkind: CredentialProviderConfig\nproviders:\n- name: ecr\n  matchImages:\n  - \"*.amazonaws.com\"\n" +
			"  env:\n  - name: A\n    value: b\n  - {name: A, value: b}\n",
		"KUBELET_EXTRA_ARGS=\"--node-ip=10.0.0.1 --v=2\"\nHTTPS_PROXY=http://p.corp:3128\n",
		"[Service]\nEnvironment=A=b\nExecStart=/usr/bin/kubelet --bootstrap-token x $ARGS\n",
		"{\"kind\":\"x\",\"providers\":[{\"name\":\"a\"}]}\n",
	}
	word := regexp.MustCompile(`[A-Za-z0-9_./:*-]+`)
	tried := 0
	for _, file := range files {
		for _, form := range []string{canary, "puller:" + canary, "https://u:" + canary + "@x.corp", encoded, "Basic " + encoded, "password:" + canary} {
			var changed []string
			for _, at := range word.FindAllStringIndex(file, -1) {
				changed = append(changed, file[:at[0]]+form+file[at[1]:], file[:at[1]]+" "+form+file[at[1]:])
			}
			for i := range file {
				if file[i] == '\n' {
					changed = append(changed, file[:i]+" # "+form+file[i:], file[:i]+"\n"+form+file[i:], file[:i]+"\n  secret = \""+form+"\""+file[i:])
				}
			}
			for _, text := range changed {
				tried++
				var out bytes.Buffer
				c := Change{Path: "/etc/x", What: "change", Before: []byte(text), After: []byte("new\n"), Foreign: true}
				c.write(&out, func(_, text string) string { return text })
				if strings.Contains(out.String(), canary) || strings.Contains(out.String(), encoded[4:20]) {
					t.Fatalf("a secret of\n%s\nis in\n%s", text, out.String())
				}
			}
		}
	}
	if tried < 500 {
		t.Errorf("only %d files were tried", tried)
	}
}
