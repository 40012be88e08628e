package images_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/berth-registry/berth/images/internal/imagestest"
	"github.com/berth-registry/berth/images/list"
	"github.com/berth-registry/berth/images/reference"
	"github.com/berth-registry/berth/images/rewrite"
)

var update = flag.Bool("update", false, "write the golden files anew")

// operators are the operators whose manifests the examples resemble.
var operators = []struct{ name, file string }{
	{"Longhorn", "longhorn"},
	{"Strimzi", "strimzi"},
	{"Zalando's Postgres operator", "zalando-postgres"},
	{"NVIDIA's network operator (Mellanox)", "nvidia-network"},
	{"NVIDIA's GPU operator", "nvidia-gpu"},
	{"K8ssandra", "k8ssandra"},
	{"Rook", "rook"},
	{"CloudNativePG", "cloudnative-pg"},
	{"Cilium", "cilium"},
	{"cert-manager", "cert-manager"},
	{"Argo CD", "argo-cd"},
	{"Redis Enterprise", "redis-enterprise"},
	{"Redis Enterprise without image specs", "redis-enterprise-defaults"},
}

func operator(t *testing.T, file string) *txtar.Archive {
	t.Helper()
	a, err := txtar.ParseFile(filepath.Join("testdata/operators", file+".txtar"))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// moved are the options of a rewrite to the registry of the examples.
func moved(t *testing.T) rewrite.Options {
	t.Helper()
	to, err := reference.ParseTarget("reg.corp:5000/m")
	if err != nil {
		t.Fatal(err)
	}
	return rewrite.Options{To: to, Env: true}
}

func rewriteText(t *testing.T, text string, o rewrite.Options) string {
	t.Helper()
	r, err := rewrite.Rewrite("in.yaml", []byte(text), o)
	if err != nil {
		t.Fatal(err)
	}
	return string(r.Text)
}

// For manifests in the shapes of real operators, the images are those counted by hand, and what
// cannot be known is named.
func TestOperatorsList(t *testing.T) {
	for _, o := range operators {
		t.Run(o.file, func(t *testing.T) {
			a := operator(t, o.file)
			var l list.List
			l.AddManifest("in.yaml", []byte(imagestest.Section(a, "in.yaml")))
			var got []string
			for _, r := range l.References() {
				got = append(got, r.String())
			}
			if want := strings.Fields(imagestest.Section(a, "images")); !slices.Equal(got, want) {
				t.Errorf("found\n  %s\nby hand\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
			}
			named := slices.Collect(strings.Lines(imagestest.Section(a, "named")))
			problems := l.Problems()
			for i := range max(len(named), len(problems)) {
				if i >= len(named) || i >= len(problems) || !strings.HasPrefix(problems[i].Error(), strings.TrimSpace(named[i])) {
					t.Fatalf("named\n%q\nwant\n%q", problems, named)
				}
			}
		})
	}
}

// These manifests change in their images, to the expected names, and in no other byte.
func TestOperatorsRewrite(t *testing.T) {
	o := moved(t)
	for _, each := range operators {
		t.Run(each.file, func(t *testing.T) {
			a := operator(t, each.file)
			in := imagestest.Section(a, "in.yaml")
			r, err := rewrite.Rewrite("in.yaml", []byte(in), o)
			if err != nil {
				t.Fatal(err)
			}
			got := string(r.Text)
			golden := filepath.Join("testdata/operators", each.file+".out.yaml")
			if *update {
				if err := os.WriteFile(golden, r.Text, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil || got != string(want) {
				t.Errorf("%v, rewritten to\n%s", err, got)
			}
			bare := got
			if inserted := imagestest.Section(a, "inserted"); inserted != "" {
				if bare = strings.Replace(got, inserted, "", 1); bare == got {
					t.Errorf("%q is not inserted", inserted)
				}
			}
			if err := imagestest.Outside(in, bare); err != nil {
				t.Error(err)
			}
			var l list.List
			l.AddManifest("out.yaml", r.Text)
			have := l.References()
			for _, image := range strings.Fields(imagestest.Section(a, "images")) {
				ref, err := reference.Parse(image)
				if err != nil {
					t.Fatal(err)
				}
				if !slices.Contains(have, o.To.Reference(ref)) {
					t.Errorf("%s is not at %s", image, o.To.Reference(ref))
				}
			}
			if n := len(strings.Fields(imagestest.Section(a, "images"))); len(have) != n {
				t.Errorf("%d images afterwards, before %d", len(have), n)
			}
			if again := rewriteText(t, got, o); again != got {
				t.Errorf("a second time it is\n%s", again)
			}
			// A repository without a tag is rewritten too.
			named := strings.Count(imagestest.Section(a, "named"), "\n") - strings.Count(imagestest.Section(a, "named"), "has no tag here")
			if len(r.Untouched) != named {
				t.Errorf("%d named, want %d: %q", len(r.Untouched), named, r.Untouched)
			}
			crlf := strings.NewReplacer("\n", "\r\n")
			if windows := rewriteText(t, crlf.Replace(in), o); windows != crlf.Replace(got) {
				t.Errorf("with other line ends it is\n%q", windows)
			}
		})
	}
}

// docs/images.md shows the numbers of these tests.
func TestOperatorsTable(t *testing.T) {
	page, err := os.ReadFile("../docs/images.md")
	if err != nil {
		t.Fatal(err)
	}
	table := "| operator | images by hand | images found | named |\n|---|---|---|---|\n"
	for _, o := range operators {
		a := operator(t, o.file)
		var l list.List
		l.AddManifest("in.yaml", []byte(imagestest.Section(a, "in.yaml")))
		table += fmt.Sprintf("| %s | %d | %d | %d |\n", o.name, len(strings.Fields(imagestest.Section(a, "images"))), len(l.References()), len(l.Problems()))
	}
	if !strings.Contains(string(page), table) {
		t.Errorf("docs/images.md does not have the table\n%s", table)
	}
}
