package targets

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

const root = "../.."

func read(t *testing.T, path string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// makeTargets returns the targets that "make help" lists.
func makeTargets(t *testing.T) []string {
	t.Helper()
	var names []string
	for _, m := range regexp.MustCompile(`(?m)^([a-z0-9-]+):.*## `).FindAllStringSubmatch(read(t, "Makefile"), -1) {
		names = append(names, m[1])
	}
	return names
}

// suites returns the suites that test/e2e.sh runs, in its order.
func suites(t *testing.T) []string {
	t.Helper()
	m := regexp.MustCompile(`(?m)^suites=\((.*)\)$`).FindStringSubmatch(read(t, "test/e2e.sh"))
	if m == nil {
		t.Fatal("test/e2e.sh: no line suites=(…)")
	}
	return strings.Fields(m[1])
}

// unknownTargets returns each target after "make" in a shell command that is not known.
func unknownTargets(command string, known []string) []string {
	var unknown []string
	for _, m := range regexp.MustCompile(`\bmake(?: -C \S+)?((?: +[A-Za-z0-9=/_.-]+)+)`).FindAllStringSubmatch(command, -1) {
		for _, word := range strings.Fields(m[1]) {
			if !strings.Contains(word, "=") && !slices.Contains(known, word) {
				unknown = append(unknown, word)
			}
		}
	}
	return unknown
}

func TestUnknownTargets(t *testing.T) {
	known := []string{"test", "e2e"}
	if got := unknownTargets("make -C berth test e2e V=1 && make -C berth lint", known); !slices.Equal(got, []string{"lint"}) {
		t.Errorf("found %q, want lint", got)
	}
}

func TestSuites(t *testing.T) {
	want := suites(t)
	m := regexp.MustCompile(`(?m)^E2E := \$\(addprefix e2e-,(.*)\)$`).FindStringSubmatch(read(t, "Makefile"))
	if m == nil {
		t.Fatal("Makefile: no line E2E := $(addprefix e2e-,…)")
	}
	if got := strings.Fields(m[1]); !slices.Equal(got, want) {
		t.Errorf("Makefile: E2E names %q; test/e2e.sh runs %q", got, want)
	}
	targets, page := makeTargets(t), read(t, "test/README.md")
	for _, suite := range want {
		if !slices.Contains(targets, "e2e-"+suite) {
			t.Errorf("Makefile: no line e2e-%s: ## …", suite)
		}
		if !strings.Contains(page, "\n| `make e2e-"+suite+"` |") {
			t.Errorf("test/README.md: suite e2e-%s has no row", suite)
		}
	}
	// The table names the packages of each suite, and no others.
	out, err := exec.Command(filepath.Join(root, "test/e2e.sh"), "-packages").Output()
	if err != nil {
		t.Fatal(err)
	}
	var named []string
	for line := range strings.Lines(page) {
		if cells := strings.Split(line, " | "); strings.HasPrefix(line, "| `make e2e-") && cells[2] != "–" {
			named = append(named, strings.Fields(cells[2])...)
		}
	}
	slices.Sort(named)
	if want, got := strings.Fields(string(out)), slices.Compact(named); !slices.Equal(got, want) {
		t.Errorf("test/README.md names the packages %q; test/e2e.sh -packages prints %q", got, want)
	}
}

func TestEveryFolderIsOnTheMap(t *testing.T) {
	entries, err := os.ReadDir(filepath.Join(root, "test"))
	if err != nil {
		t.Fatal(err)
	}
	page := read(t, "test/README.md")
	for _, e := range entries {
		if e.IsDir() && !strings.Contains(page, "]("+e.Name()+")") {
			t.Errorf("test/README.md does not name %s", e.Name())
		}
	}
}

// TestPages checks each make command in a Markdown page.
func TestPages(t *testing.T) {
	known := makeTargets(t)
	code := regexp.MustCompile("(?s)```.*?```|`[^`\n]+`")
	found := 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() && strings.HasPrefix(d.Name(), ".") && d.Name() != ".." && d.Name() != ".github" {
			return errorOrSkip(err)
		}
		if filepath.Ext(path) != ".md" || d.Name() == "CHANGELOG.md" {
			return nil
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, piece := range code.FindAll(raw, -1) {
			found += bytes.Count(piece, []byte("make "))
			for _, target := range unknownTargets(string(piece), known) {
				t.Errorf("%s: make %s: the Makefile has no such target", path, target)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if found == 0 {
		t.Error("no make command found in any page")
	}
}

func errorOrSkip(err error) error {
	if err != nil {
		return err
	}
	return fs.SkipDir
}

// workflow is the part of a workflow that the tests look at.
type workflow struct {
	Jobs map[string]struct {
		Strategy struct {
			Matrix map[string][]string
		}
		Steps []struct {
			Uses string
			Run  string
		}
	}
}

// setup are the only commands of a workflow that are not make targets. The last one publishes what a
// target made.
var setup = regexp.MustCompile(`^((sudo )?apt-get update && (sudo )?apt-get install -y --no-install-recommends [-a-z0-9$(). /]+|git config --global --add safe\.directory "\$PWD"|gh release create [-a-z$A-Z_" ]+ dist/\*)$`)

// pinned is an action with the digest of a commit.
var pinned = regexp.MustCompile(`^[a-z-]+/[a-z-]+@[0-9a-f]{40}$`)

// TestWorkflows: a workflow only runs make targets that exist, and installs what they need.
func TestWorkflows(t *testing.T) {
	known := makeTargets(t)
	files, err := filepath.Glob(filepath.Join(root, ".github/workflows/*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no workflow: %v", err)
	}
	var run []string
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var w workflow
		if err := yaml.Unmarshal(raw, &w); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for name, job := range w.Jobs {
			for _, step := range job.Steps {
				for _, command := range expand(step.Run, job.Strategy.Matrix) {
					if !setup.MatchString(command) && !strings.HasPrefix(command, "make ") {
						t.Errorf("%s: job %s: %q is neither a make target nor set-up", file, name, command)
					}
					for _, target := range unknownTargets(command, known) {
						t.Errorf("%s: job %s: make %s: the Makefile has no such target", file, name, target)
					}
					run = append(run, command)
				}
				if step.Uses != "" && !pinned.MatchString(step.Uses) {
					t.Errorf("%s: job %s: %s: not pinned to a digest", file, name, step.Uses)
				}
			}
		}
	}
	// What CI runs here, it runs there.
	for _, m := range regexp.MustCompile(`(?m)^step (make .*)$`).FindAllStringSubmatch(read(t, ".ci/run"), -1) {
		if !slices.Contains(run, m[1]) {
			t.Errorf(".ci/run runs %q, and no workflow does", m[1])
		}
	}
}

// expand returns the commands that a run line becomes, one for each value of a matrix.
func expand(run string, matrix map[string][]string) []string {
	if run == "" {
		return nil
	}
	for key, values := range matrix {
		variable := "${{ matrix." + key + " }}"
		if !strings.Contains(run, variable) {
			continue
		}
		var all []string
		for _, v := range values {
			all = append(all, strings.ReplaceAll(run, variable, v))
		}
		return all
	}
	return []string{run}
}

// TestIssueTemplates: each has a name and fields, and that of a bug asks for what is needed.
func TestIssueTemplates(t *testing.T) {
	for _, name := range []string{"bug.yml", "feature.yml"} {
		var form struct {
			Name, Description string
			Body              []struct {
				Type       string
				Attributes map[string]any
			}
		}
		text := read(t, ".github/ISSUE_TEMPLATE/"+name)
		if err := yaml.Unmarshal([]byte(text), &form); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if form.Name == "" || form.Description == "" || len(form.Body) == 0 {
			t.Errorf("%s: name, description and body are needed: %+v", name, form)
		}
		if name == "bug.yml" && (!strings.Contains(text, "berth doctor -o json") || !strings.Contains(text, "passwords")) {
			t.Errorf("%s: asks for no doctor output, or does not warn of secrets", name)
		}
	}
}
