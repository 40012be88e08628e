package node_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-registry/berth/internal/nodefs"
	"github.com/berth-registry/berth/node"
)

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
		providers := []node.Provider{{Name: "other", MatchImages: []string{c.image}}, {Name: "berth", MatchImages: []string{"x", c.pattern}}}
		if got := node.Asks(providers, "berth", c.image); got != c.want {
			t.Errorf("%s asks about %s: %t, want %t", c.pattern, c.image, got, c.want)
		}
	}
}

func TestReadProviders(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const good = "kind: CredentialProviderConfig\nproviders:\n- {name: %, matchImages: [a.corp]}\n"
	write("one.yaml", strings.ReplaceAll(good, "%", "a"))
	write("many/1.json", `{"kind":"CredentialProviderConfig","providers":[{"name":"b","matchImages":["*.b"]}]}`)
	write("many/2.yml", strings.ReplaceAll(good, "%", "c"))
	write("many/README", "not read")
	write("bad/kind.yaml", "kind: Pod\n")
	write("name.yaml", strings.ReplaceAll(good, "%", "../a"))
	if err := os.Mkdir(filepath.Join(dir, "empty"), 0o755); err != nil {
		t.Fatal(err)
	}
	root, err := nodefs.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for config, want := range map[string]string{"/one.yaml": "a [a.corp]", "/many": "b [*.b] c [a.corp]"} {
		all, err := node.ReadProviders(root, config)
		var got []string
		for _, p := range all {
			got = append(got, p.Name+" ["+strings.Join(p.MatchImages, " ")+"]")
		}
		if err != nil || strings.Join(got, " ") != want {
			t.Errorf("%s: %q, %v", config, got, err)
		}
	}
	for config, want := range map[string]string{
		"/gone.yaml": "no such file", "/bad": "kind.yaml: is not a CredentialProviderConfig", "/name.yaml": "must be the file name of a program", "/empty": "/empty: no .json, .yaml or .yml file",
	} {
		if _, err := node.ReadProviders(root, config); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", config, err, want)
		}
	}
}
