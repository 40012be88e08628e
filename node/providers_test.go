package node_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-registry/berth/internal/nodefs"
	"github.com/berth-registry/berth/node"
)

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
