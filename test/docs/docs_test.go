package docs

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// top is the root of the repository.
const top = "../.."

// namesChecked are the pages of which every name in backticks is checked, and how
// many names each has at least.
var namesChecked = map[string]int{
	"docs/architecture.md":       80,
	"CONTRIBUTING.md":            40,
	"docs/adr/0024-the-house.md": 8,
}

// TestNames: the paths and Go names of these pages exist.
func TestNames(t *testing.T) {
	r := newRepository(t)
	for page, least := range namesChecked {
		found, problems := r.names(read(t, page))
		for _, p := range problems {
			t.Errorf("%s: %s", page, p)
		}
		if found < least {
			t.Errorf("%s: %d names were found, want %d or more", page, found, least)
		}
	}
}

// TestLinks: each relative link of each page leads to a file and a heading.
func TestLinks(t *testing.T) {
	links := 0
	for _, page := range pages(t) {
		n, problems := checkLinks(page, read(t, page))
		links += n
		for _, p := range problems {
			t.Errorf("%s: %s", page, p)
		}
	}
	if links < 150 {
		t.Errorf("only %d links were found", links)
	}
}

// TestIndexes: each page is listed in the index of its directory.
func TestIndexes(t *testing.T) {
	for _, page := range pages(t) {
		dir, name := path.Split(page)
		if !strings.HasPrefix(dir, "docs/") || name == "README.md" {
			continue
		}
		if !strings.Contains(read(t, dir+"README.md"), "]("+name) {
			t.Errorf("%sREADME.md does not list %s", dir, name)
		}
	}
}

var (
	docsCall = regexp.MustCompile(`\bdocs\.URL\(("[^"]*")?`)
	pagePath = regexp.MustCompile(`(\S*)\bdocs/[a-z-]+\.md`)
)

// TestMessages: each page that a message of the programs names is named by its address, and exists
// with its anchor.
func TestMessages(t *testing.T) {
	calls := 0
	for _, dir := range []string{"agent", "cmd", "config", "credprovider", "hostsconf", "images", "internal", "node"} {
		err := filepath.WalkDir(filepath.Join(top, dir), func(file string, d fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
				return err
			}
			raw, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			n, problems := messageProblems(string(raw))
			calls += n
			for _, p := range problems {
				t.Errorf("%s: %s", file, p)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if calls < 6 {
		t.Errorf("only %d calls of docs.URL were found", calls)
	}
}

// messageProblems checks the calls of docs.URL in a Go file, and counts them. A path of a page in a
// string is a problem: the reader has no checkout.
func messageProblems(source string) (calls int, problems []string) {
	for _, m := range docsCall.FindAllStringSubmatch(source, -1) {
		calls++
		page := strings.Trim(m[1], `"`)
		if page == "" {
			problems = append(problems, m[0]+": the page must be a literal")
			continue
		}
		_, found := checkLinks("docs/x.md", "[x]("+page+")")
		problems = append(problems, found...)
	}
	file, err := parser.ParseFile(token.NewFileSet(), "", source, parser.SkipObjectResolution)
	if err != nil {
		return calls, append(problems, err.Error())
	}
	ast.Inspect(file, func(n ast.Node) bool {
		text, ok := n.(*ast.BasicLit)
		if !ok || text.Kind != token.STRING {
			return true
		}
		for _, m := range pagePath.FindAllStringSubmatch(text.Value, -1) {
			// status.Docs is a path because /status is a contract.
			if !strings.Contains(m[1], "://") && text.Value != `"docs/operations.md"` {
				problems = append(problems, m[0]+": use docs.URL")
			}
		}
		return true
	})
	return calls, problems
}

// The checks notice what is wrong, and only that.
func TestNotices(t *testing.T) {
	r := newRepository(t)
	for text, want := range map[string]int{
		"`hostsconf/plan.go` `hostsconf.Build` `hostsconf.Tree.Apply` `config.yaml`": 0,
		"`config/check*.go` `/etc/berth/config.yaml` `hosts.toml` `cmd/berth`":       0,
		"`hostsconf/nothing.go`": 1, "`config/nothing*.go`": 1, "`hostsconf.Nothing`": 1,
		"`hostsconf.Tree.Nothing`": 1, "`nothing.Build`": 1,
	} {
		if _, problems := r.names(text); len(problems) != want {
			t.Errorf("%s: %d problems, want %d: %q", text, len(problems), want, problems)
		}
	}
	for text, want := range map[string]int{
		"[a](adr/README.md) [b](https://example.com) [c](#two-words)\n\n## Two `words`\n": 0,
		"[a](nothing.md)": 1, "[a](#nothing)\n": 1, "[a](configuration.md#nothing)": 1,
	} {
		if _, problems := checkLinks("docs/page.md", text); len(problems) != want {
			t.Errorf("%s: %d problems, want %d: %q", text, len(problems), want, problems)
		}
	}
	for expression, want := range map[string]int{
		`"see " + docs.URL("docker.md#which-docker")`: 0, `docs.URL("README.md")`: 0, `"https://example.com/docs/docker.md"`: 0,
		`docs.URL("nothing.md")`: 1, `docs.URL("docker.md#nothing")`: 1, `docs.URL(page)`: 1, `"see docs/docker.md"`: 1,
	} {
		if _, problems := messageProblems("package x\nvar x = " + expression + "\n"); len(problems) != want {
			t.Errorf("%s: %d problems, want %d: %q", expression, len(problems), want, problems)
		}
	}
}

func read(t *testing.T, page string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(top, page))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// pages lists the pages of the repository by their path.
func pages(t *testing.T) (all []string) {
	t.Helper()
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/adr/*.md", "docs/platforms/*.md", "test/*.md"} {
		found, err := filepath.Glob(filepath.Join(top, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range found {
			all = append(all, filepath.ToSlash(strings.TrimPrefix(f, top+"/")))
		}
	}
	return all
}

// repository knows which Go names there are.
type repository struct {
	folders  []string                   // top-level directories
	packages map[string][]string        // directories by the last part of their path
	declared map[string]map[string]bool // by directory
}

func newRepository(t *testing.T) *repository {
	t.Helper()
	r := &repository{packages: map[string][]string{}, declared: map[string]map[string]bool{}}
	err := filepath.WalkDir(top, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && strings.HasPrefix(d.Name(), ".") && file != top {
			return filepath.SkipDir
		}
		dir := filepath.Dir(file)
		if d.IsDir() && dir == top {
			r.folders = append(r.folders, d.Name())
		}
		if name := filepath.Base(dir); strings.HasSuffix(file, ".go") && !slices.Contains(r.packages[name], dir) {
			r.packages[name] = append(r.packages[name], dir)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

var (
	fenced = regexp.MustCompile("(?ms)^```.*?^```$")
	quoted = regexp.MustCompile("`([^`\n]+)`")
	goName = regexp.MustCompile(`^([a-z][a-z0-9]*)\.([A-Za-z]\w*)(?:\.(\w+))?$`)
	// suffix ends the name of a file that is not in the repository.
	suffix = regexp.MustCompile(`\.(toml|ya?ml|json|md|lock|service|conf|zst)$`)
)

// names checks every name in backticks, and counts those that it knows how to
// check.
func (r *repository) names(text string) (found int, problems []string) {
	for _, m := range quoted.FindAllStringSubmatch(fenced.ReplaceAllString(text, ""), -1) {
		name := m[1]
		first, _, isPath := strings.Cut(name, "/")
		switch {
		case isPath && slices.Contains(r.folders, first):
			if all, err := filepath.Glob(filepath.Join(top, name)); err != nil || len(all) == 0 {
				problems = append(problems, name+" does not exist")
			}
		case goName.MatchString(name) && !suffix.MatchString(name):
			if p := r.goProblem(goName.FindStringSubmatch(name)); p != "" {
				problems = append(problems, name+": "+p)
			}
		default:
			continue
		}
		found++
	}
	return found, problems
}

// goProblem says what is wrong with package.Name or package.Type.Method.
func (r *repository) goProblem(parts []string) string {
	dirs := r.packages[parts[1]]
	if len(dirs) == 0 {
		return "there is no package " + parts[1]
	}
	name := strings.Trim(parts[2]+"."+parts[3], ".")
	for _, dir := range dirs {
		all, err := r.declarations(dir)
		if err != nil {
			return err.Error()
		}
		if all[name] {
			return ""
		}
	}
	return fmt.Sprintf("%s does not declare it", strings.Join(dirs, ", "))
}

// declarations are the names that the Go files of a directory declare, methods
// and fields as Type.Name.
func (r *repository) declarations(dir string) (map[string]bool, error) {
	if all, ok := r.declared[dir]; ok {
		return all, nil
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, err
	}
	all := map[string]bool{}
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		for _, d := range parsed.Decls {
			declare(all, d)
		}
	}
	r.declared[dir] = all
	return all, nil
}

func declare(all map[string]bool, d ast.Decl) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		name := d.Name.Name
		if d.Recv != nil {
			receiver := d.Recv.List[0].Type
			if star, ok := receiver.(*ast.StarExpr); ok {
				receiver = star.X
			}
			if id, ok := receiver.(*ast.Ident); ok {
				name = id.Name + "." + name
			}
		}
		all[name] = true
	case *ast.GenDecl:
		for _, s := range d.Specs {
			switch s := s.(type) {
			case *ast.ValueSpec:
				for _, n := range s.Names {
					all[n.Name] = true
				}
			case *ast.TypeSpec:
				all[s.Name.Name] = true
				fields(all, s)
			}
		}
	}
}

func fields(all map[string]bool, s *ast.TypeSpec) {
	var list *ast.FieldList
	switch t := s.Type.(type) {
	case *ast.StructType:
		list = t.Fields
	case *ast.InterfaceType:
		list = t.Methods
	default:
		return
	}
	for _, f := range list.List {
		for _, n := range f.Names {
			all[s.Name.Name+"."+n.Name] = true
		}
	}
}

var link = regexp.MustCompile(`\]\(([^)\s]+)\)`)

// checkLinks checks the relative links of a page, and counts them.
func checkLinks(page, text string) (n int, problems []string) {
	for _, m := range link.FindAllStringSubmatch(fenced.ReplaceAllString(text, ""), -1) {
		if strings.Contains(m[1], "://") {
			continue
		}
		n++
		file, anchor, _ := strings.Cut(m[1], "#")
		body := text
		if file != "" {
			name := filepath.Join(top, path.Dir(page), file)
			if _, err := os.Stat(name); err != nil {
				problems = append(problems, m[1]+": no such file")
				continue
			}
			if anchor != "" {
				content, err := os.ReadFile(name)
				if err != nil {
					problems = append(problems, err.Error())
				}
				body = string(content)
			}
		}
		if anchor != "" && !anchors(body)[anchor] {
			problems = append(problems, m[1]+": no such heading")
		}
	}
	return n, problems
}

var (
	heading = regexp.MustCompile(`(?m)^#+ +(.*)$`)
	dropped = regexp.MustCompile(`[^a-z0-9 _-]`)
)

// anchors are what the headings of a page can be linked by.
func anchors(text string) map[string]bool {
	all := map[string]bool{}
	for _, m := range heading.FindAllStringSubmatch(fenced.ReplaceAllString(text, ""), -1) {
		all[strings.ReplaceAll(dropped.ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-")] = true
	}
	return all
}
