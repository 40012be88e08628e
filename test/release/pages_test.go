package release

import (
	"compress/gzip"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/berth-registry/berth/test/gobuild"
)

// TestManPages: there is a page for each program and verb, and it says word for word what --help
// says.
func TestManPages(t *testing.T) {
	dir, bin := t.TempDir(), t.TempDir()+"/"
	cmd := exec.CommandContext(t.Context(), "./pages.sh", dir)
	cmd.Env = append(os.Environ(), "VERSION=v1.0.0", "SOURCE_DATE_EPOCH=1700000000")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("pages.sh: %v\n%s", err, out)
	}
	programs := []string{"berth", "berth-credential-provider", "berth-ecr-token", "docker-credential-berth"}
	var pkgs []string
	for _, p := range programs {
		pkgs = append(pkgs, "../../cmd/"+p)
	}
	if err := gobuild.Programs(t.Context(), ".", bin, pkgs...); err != nil {
		t.Fatal(err)
	}
	help := func(words []string) string {
		out, err := exec.CommandContext(t.Context(), bin+words[0], append(words[1:], "--help")...).Output()
		if err != nil {
			t.Fatalf("%q --help: %v", words, err)
		}
		return string(out)
	}
	files, err := filepath.Glob(dir + "/man/*.1.gz")
	if err != nil {
		t.Fatal(err)
	}
	var described []string
	for _, file := range files {
		p := readPage(t, file)
		command := p.command()
		described = append(described, strings.Join(command, " "))
		if want := strings.Join(command, "-") + ".1.gz"; filepath.Base(file) != want {
			t.Errorf("%s is the page of %q", file, command)
		}
		text := help(command)
		if command[0] == "berth" { // cobra's sections follow
			text, _, _ = strings.Cut(text, "\nUsage:\n")
		}
		if got, want := p.words("DESCRIPTION"), strings.Fields(text); !slices.Equal(got, want) {
			t.Errorf("%s says\n%s\n--help says\n%s", file, strings.Join(got, " "), strings.Join(want, " "))
		}
		if p.date != "Nov 2023" {
			t.Errorf("%s: the date is %q, not that of SOURCE_DATE_EPOCH", file, p.date)
		}
	}
	verb := regexp.MustCompile(`(?m)^  ([a-z-]+) +[A-Z]`)
	for _, parent := range []string{"berth", "berth images", "berth completion"} {
		_, list, _ := strings.Cut(help(strings.Fields(parent)), "\nAvailable Commands:\n")
		list, _, _ = strings.Cut(list, "\n\n")
		for _, m := range verb.FindAllStringSubmatch(list, -1) {
			if name := parent + " " + m[1]; m[1] != "help" && !slices.Contains(described, name) {
				t.Errorf("%s has no page", name)
			}
		}
	}
	for _, p := range programs {
		if !slices.Contains(described, p) {
			t.Errorf("%s has no page", p)
		}
	}
	if len(described) < 20 {
		t.Errorf("only %d pages: %q", len(described), described)
	}
	for _, shell := range []string{"bash", "zsh", "fish"} {
		script, err := os.ReadFile(filepath.Join(dir, "completion."+shell))
		if err != nil || !strings.Contains(string(script), "berth") {
			t.Errorf("completion.%s: %v", shell, err)
		}
	}
}

// manPage is the text of a man page without roff's commands, by section.
type manPage struct {
	date     string
	sections map[string]string
}

func readPage(t *testing.T, file string) manPage {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	p := manPage{sections: map[string]string{}}
	plain := strings.NewReplacer(`\fB`, "", `\fI`, "", `\fP`, "", `\fR`, "", `\-`, "-", `\&`, "", `\e`, `\`, `\(aq`, "'", `\\`, `\`)
	section := ""
	for line := range strings.Lines(string(raw)) {
		if m := regexp.MustCompile(`^\.TH "[^"]*" "1" "([^"]*)"`).FindStringSubmatch(line); m != nil {
			p.date = m[1]
		}
		if name, ok := strings.CutPrefix(line, ".SH "); ok {
			section = strings.TrimSpace(name)
			continue
		}
		if !strings.HasPrefix(line, ".") {
			p.sections[section] += plain.Replace(line)
		}
	}
	return p
}

func (p manPage) words(section string) []string { return strings.Fields(p.sections[section]) }

// command is what the synopsis begins with: the program and its verb.
func (p manPage) command() []string {
	words := p.words("SYNOPSIS")
	for i, w := range words {
		if !regexp.MustCompile(`^[a-z][a-z-]*$`).MatchString(w) {
			return words[:i]
		}
	}
	return words
}
