package depcheck

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/berth-registry/berth/"

// forbidden lists, for a folder, what nothing in it may depend on, directly or
// not, and why. Of the standard library only direct imports count.
var forbidden = []struct{ folder, dependency, why string }{
	{"internal/", module + "agent", "internal holds leaves"},
	{"internal/", module + "node", "internal holds leaves"},
	{"internal/", module + "config", "internal holds leaves"},
	{"internal/", module + "hostsconf", "internal holds leaves"},
	{"internal/", module + "credprovider", "internal holds leaves"},
	{"hostsconf", module + "agent", "imports point from cmd to internal"},
	{"hostsconf", module + "node", "imports point from cmd to internal"},
	{"hostsconf", module + "config", "imports point from cmd to internal"},
	{"hostsconf", module + "credprovider", "hostsconf knows no credentials"},
	{"hostsconf", "github.com/aws/", "only credprovider/ecr/client knows AWS"},
	{"hostsconf", "os/exec", "hostsconf starts no process"},
	{"hostsconf", "net", "hostsconf opens no connection"},
	{"hostsconf", "github.com/prometheus/procfs", "hostsconf looks at no process"},
	{"credprovider", module + "agent", "imports point from cmd to internal"},
	{"credprovider", module + "node", "imports point from cmd to internal"},
	{"credprovider", module + "config", "imports point from cmd to internal"},
	{"config", module + "agent", "config is read by agent and node, and knows neither"},
	{"config", module + "node", "config is read by agent and node, and knows neither"},
	{"config", module + "images", "imports point from cmd to internal"},
	{"config/syntax", module + "config", "the text of a config knows neither its types nor its rules"},
	{"config/convert/source", module + "config/convert", "the tree of a file knows no format"},
	{"config/convert/draft", module + "config/convert/tables", "the draft knows no reader"},
	{"config/convert/draft", module + "config/convert/rke", "the draft knows no reader"},
	{"config/convert/draft", module + "config/convert/certsd", "the draft knows no reader"},
	{"config/convert/tables", module + "config/convert/rke", "formats are independent"},
	{"config/convert/tables", module + "config/convert/certsd", "formats are independent"},
	{"config/convert/rke", module + "config/convert/tables", "formats are independent"},
	{"config/convert/rke", module + "config/convert/certsd", "formats are independent"},
	{"config/convert/certsd", module + "config/convert/tables", "formats are independent"},
	{"config/convert/certsd", module + "config/convert/rke", "formats are independent"},
	{"credprovider", module + "hostsconf", "credprovider knows no hosts.toml"},
	{"cmd/berth-credential-provider", module + "agent", "the provider is self-contained"},
	{"cmd/berth-credential-provider", module + "hostsconf", "the provider is self-contained"},
	{"cmd/berth-credential-provider", "github.com/containerd/", "the provider is self-contained"},
	{"cmd/berth-credential-provider", "github.com/distribution/", "the provider has the small parser of internal/imagename"},
	{"cmd/berth-credential-provider", module + "credprovider/ecr/client", "the provider links no network code"},
	{"cmd/berth-credential-provider", "github.com/aws/", "the provider links no network code"},
	{"credprovider", module + "credprovider/ecr/client", "the provider links no network code"},
	{"agent", module + "cmd", "imports point from cmd to internal"},
	{"node", module + "cmd", "imports point from cmd to internal"},
	{"node/desired", "os/exec", "desired is a function of values"},
	{"node/desired", "os", "desired is a function of values"},
	{"node/desired", module + "node/reconcile", "desired is a function of values"},
	{"node", module + "agent", "the agent uses what the commands use, not the other way round"},
	{"agent", "k8s.io/client-go", "the agent needs no API server"},
	{"agent/startup", module + "node", "the startup taint needs no node"},
	{"agent/startup", module + "config", "the startup taint needs no config"},
	{"hostsconf", module + "images", "imports point from cmd to internal"},
	{"credprovider", module + "images", "imports point from cmd to internal"},
	{"agent", module + "images", "the daemon and the image verbs are independent"},
	{"node", module + "images", "the node's verbs and the image verbs are independent"},
	{"images", module + "agent", "the daemon and the image verbs are independent"},
	{"images", module + "node", "the node's verbs and the image verbs are independent"},
	{"images", module + "cmd", "imports point from cmd to internal"},
	{"images/reference", module + "images", "image names are a leaf of images"},
	{"images/document", module + "images/registry", "reading manifests needs no network"},
	{"images/inventory", module + "images/registry", "reading manifests needs no network"},
	{"images/list", module + "images/registry", "listing asks no registry"},
	{"images/rewrite", module + "images/registry", "a rewrite asks no registry"},
	{"images/manifest", module + "images/registry", "manifests are bytes"},
	{"images/layout", module + "images/registry", "a directory needs no network"},
	{"images/registry", module + "images/layout", "a registry needs no directory"},
	{"images/check", module + "images/copy", "check only reads"},
	{"images/list", module + "images/report", "a list does not know how it is printed"},
	{"images/check", module + "images/report", "a check does not know how it is printed"},
	{"images/copy", module + "images/report", "a copy does not know how it is printed"},
	{"images/serve", module + "images/registry", "serving asks no registry"},
	{"images/load", module + "images/registry", "loading asks no registry"},
	{"images/load", module + "images/layout", "what is loaded is behind an interface"},
	{"images/serve", module + "images/layout", "what is served is behind an interface"},
	{"cmd/berth-credential-provider", module + "images", "the provider is self-contained"},
	{"cmd/berth-credential-provider", "github.com/prometheus/", "the provider stays small"},
	{"cmd/berth-credential-provider", "golang.org/x/sys/unix", "the provider stays small"},
	{"cmd/docker-credential-berth", module + "credprovider/ecr/client", "the helper links no network code"},
	{"cmd/docker-credential-berth", "github.com/aws/", "the helper links no network code"},
	{"cmd/berth/images", module + "agent", "the daemon and the image verbs are independent"},
	{"cmd/berth/cli", module + "agent", "what verbs share knows no verb"},
	{"cmd/berth/cli", module + "images", "what verbs share knows no verb"},
	{"cmd/berth/cli", module + "cmd/berth/images", "what verbs share knows no verb"},
	{"cmd/", module + "test", "tests stay out of what is shipped"},
}

type listed struct {
	ImportPath string
	Imports    []string
	Deps       []string
	GoFiles    []string
}

func list(t *testing.T) []listed {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports,Deps,GoFiles", module+"...")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, &stderr)
	}
	var all []listed
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

func TestImports(t *testing.T) {
	packages := list(t)
	if violations := check(packages); len(violations) > 0 {
		t.Errorf("imports in the wrong direction:\n%s", strings.Join(violations, "\n"))
	}
	for _, p := range packages {
		if below(p.ImportPath, module+"manifests") {
			t.Errorf("%s: manifests holds what people deploy, and no Go", p.ImportPath)
		}
		for _, i := range p.Imports {
			if i == module+"internal/kubeapi" && p.ImportPath != module+"agent/startup" && p.ImportPath != module+"cmd/berth" {
				t.Errorf("%s imports %s: only agent/startup asks the API server", p.ImportPath, i)
			}
			if i == module+"agent/startup" && p.ImportPath != module+"cmd/berth" {
				t.Errorf("%s imports %s: the daemon has no right in the API", p.ImportPath, i)
			}
			if strings.HasPrefix(i, "github.com/aws/") && p.ImportPath != module+"credprovider/ecr/client" &&
				!strings.HasPrefix(p.ImportPath, module+"test/") {
				t.Errorf("%s imports %s: only credprovider/ecr/client knows AWS", p.ImportPath, i)
			}
		}
	}
}

// The check itself must notice.
func TestImportsNotices(t *testing.T) {
	bad := []listed{
		{ImportPath: module + "hostsconf", Deps: []string{module + "config"}},
		{ImportPath: module + "internal/x", Deps: []string{module + "credprovider/ecr"}},
		{ImportPath: module + "hostsconf", Imports: []string{"os/exec"}},
		{ImportPath: module + "cmd/berth-credential-provider", Deps: []string{module + "credprovider/ecr/client"}},
		{ImportPath: module + "cmd/docker-credential-berth", Deps: []string{module + "credprovider/ecr/client"}},
		{ImportPath: module + "cmd/berth", Deps: []string{module + "test/fakes/fakeaws"}},
	}
	if got := check(bad); len(got) != len(bad) {
		t.Errorf("%d of %d found: %q", len(got), len(bad), got)
	}
}

func check(packages []listed) []string {
	var violations []string
	for _, p := range packages {
		folder := strings.TrimPrefix(p.ImportPath, module)
		for _, f := range forbidden {
			if !below(folder, f.folder) {
				continue
			}
			deps := p.Deps
			if !strings.Contains(f.dependency, ".") {
				deps = p.Imports
			}
			for _, dep := range deps {
				if dep == "net/http" && f.dependency == "net" {
					continue // for http.Header
				}
				if below(dep, f.dependency) {
					violations = append(violations, p.ImportPath+" depends on "+dep+": "+f.why)
				}
			}
		}
	}
	return violations
}

func below(path, folder string) bool {
	return path == folder || strings.HasPrefix(path, strings.TrimSuffix(folder, "/")+"/")
}

// The table of packages in docs/architecture.md has each package, above those that it imports.
// Left out are packages without code of their own, and those that only tests import.
func TestTableOfPackages(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "architecture.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, mistake := range checkTable(string(page), list(t)) {
		t.Error(mistake)
	}
}

// The check itself must notice.
func TestTableOfPackagesNotices(t *testing.T) {
	page := "| `gone` | x |\n| `low`, `beside` | x |\n| `cmd/high` | x |\n"
	packages := []listed{
		{ImportPath: module + "cmd/high", Imports: []string{module + "low"}, GoFiles: []string{"x.go"}},
		{ImportPath: module + "low", Imports: []string{module + "beside"}, GoFiles: []string{"x.go"}},
		{ImportPath: module + "beside", GoFiles: []string{"x.go"}},
		{ImportPath: module + "missing", GoFiles: []string{"x.go"}},
		{ImportPath: module + "only/doc", GoFiles: []string{"doc.go"}},
	}
	want := []string{
		"cmd/high imports low, which stands above it",
		"missing is not in the table",
		"there is no package gone",
	}
	if got := checkTable(page, packages); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// checkTable compares the rows of a page that begin with names of packages with the packages.
func checkTable(page string, packages []listed) []string {
	row := map[string]int{}
	for n, line := range strings.Split(page, "\n") {
		cell, _, _ := strings.Cut(strings.TrimPrefix(line, "| `"), " |")
		if !strings.HasPrefix(line, "| `") {
			continue
		}
		for name := range strings.SplitSeq(strings.TrimSuffix(cell, "`"), "`, `") {
			row[name] = n
		}
	}
	var mistakes []string
	for _, p := range packages {
		name := strings.TrimPrefix(p.ImportPath, module)
		at, found := row[name]
		switch {
		case below(name, "test") || strings.Contains(name, "test/") || strings.HasSuffix(name, "test"):
		case !found && !slices.Equal(p.GoFiles, []string{"doc.go"}) && len(p.GoFiles) > 0:
			mistakes = append(mistakes, name+" is not in the table")
		}
		for _, i := range p.Imports {
			i = strings.TrimPrefix(i, module)
			if imported, ok := row[i]; ok && found && imported < at {
				mistakes = append(mistakes, name+" imports "+i+", which stands above it")
			}
		}
	}
	for name := range row {
		if !slices.ContainsFunc(packages, func(p listed) bool { return p.ImportPath == module+name }) {
			mistakes = append(mistakes, "there is no package "+name)
		}
	}
	slices.Sort(mistakes)
	return mistakes
}
