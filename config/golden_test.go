package config

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	yaml "go.yaml.in/yaml/v3"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// golden compares the result of run for each case of the archives in dir with the archive. A case
// is a pair of files: name.yaml and name.kind.
func golden(t *testing.T, dir, kind string, run func(t *testing.T, name, document string) string) {
	archives, err := filepath.Glob(filepath.Join("testdata", dir, "*.txtar"))
	if err != nil || len(archives) == 0 {
		t.Fatalf("no archives in %s: %v", dir, err)
	}
	for _, path := range archives {
		archive, err := txtar.ParseFile(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			var written []txtar.File
			for _, f := range archive.Files {
				name, isCase := strings.CutSuffix(f.Name, ".yaml")
				if !isCase {
					continue
				}
				t.Run(name, func(t *testing.T) {
					got := run(t, name, string(f.Data))
					written = append(written, f, txtar.File{Name: name + "." + kind, Data: []byte(got)})
					i := slices.IndexFunc(archive.Files, func(o txtar.File) bool { return o.Name == name+"."+kind })
					switch {
					case *update:
					case i < 0:
						t.Errorf("%s has no %s.%s; it would be\n%s", path, name, kind, got)
					case got != string(archive.Files[i].Data):
						t.Errorf("got\n%s\nwant\n%s", got, archive.Files[i].Data)
					}
				})
			}
			if *update {
				archive.Files = written
				if err := os.WriteFile(path, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// TestBad pins the exact text of every mistake: all of a document at once, ordered by position, and
// without a secret.
func TestBad(t *testing.T) {
	n := newNode(t)
	golden(t, "bad", "errors", func(t *testing.T, _, document string) string {
		cfg, _, err := n.parse(document)
		if err == nil || cfg != nil {
			t.Fatalf("Parse took a bad document: %v", cfg)
		}
		text := n.shown(err.Error()) + "\n"
		mustHideSecrets(t, text)
		return text
	})
}

// TestGood pins the meaning of valid documents: every field with its default, and the warnings.
func TestGood(t *testing.T) {
	setVariables(t)
	n := newNode(t)
	golden(t, "good", "config", func(t *testing.T, name, document string) string {
		cfg, warnings, err := n.parse(document)
		if err != nil {
			t.Fatal(err)
		}
		mustHideConfig(t, cfg)
		text, err := yaml.Marshal(cfg)
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		for _, l := range cfg.DockerConfig {
			b.WriteString("# docker login: " + l.Host + " " + l.Username + "\n")
		}
		for _, w := range warnings {
			b.WriteString("# " + w.String() + "\n")
		}
		mustHideSecrets(t, b.String())
		return n.shown(b.String() + string(text))
	})
}
