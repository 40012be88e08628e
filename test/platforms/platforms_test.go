package platforms

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/berth-registry/berth/test/gobuild"
	"github.com/berth-registry/berth/test/walkthrough"
)

// top is the root of the repository.
const top = "../.."

// parts are the headings of every page, in this order.
var parts = []string{"What you need", "The file", "What restarts", "See that it works", "Leave", "What was run"}

func TestMain(m *testing.M) {
	// The variables that the chart sets in the pod.
	for name, value := range map[string]string{"NODE_NAME": "node", "NODE_IP": "192.0.2.1", "ZONE": "a", "REGION": "r"} {
		if err := os.Setenv(name, value); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

// newChecker builds berth, whose help has the flags.
func newChecker(t *testing.T) checker {
	t.Helper()
	program := filepath.Join(t.TempDir(), "berth")
	if err := gobuild.Programs(t.Context(), top, program, "./cmd/berth"); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	printed := map[string]string{}
	return checker{scratch: t.TempDir(), help: func(verb string) (string, error) {
		mu.Lock()
		defer mu.Unlock()
		if printed[verb] == "" {
			out, err := exec.CommandContext(context.Background(), program, append(strings.Fields(verb), "--help")...).CombinedOutput()
			if err == nil && !strings.Contains(string(out), "berth "+verb) {
				err = fmt.Errorf("there is no such command")
			}
			if err != nil {
				return "", err
			}
			printed[verb] = string(out)
		}
		return printed[verb], nil
	}}
}

// TestPages checks each page.
func TestPages(t *testing.T) {
	c := newChecker(t)
	files, err := filepath.Glob(filepath.Join(top, "docs/platforms/*.md"))
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	for _, file := range files {
		checked++
		t.Run(filepath.Base(file), func(t *testing.T) {
			page, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			check := c.page
			if filepath.Base(file) == "README.md" { // it has no parts, but the blocks that pages share
				check = func(text string) []string { _, problems := c.blocks(text); return problems }
			}
			for _, problem := range check(string(page)) {
				t.Error(problem)
			}
		})
	}
	if checked < 8 {
		t.Errorf("%d pages were found", checked)
	}
}

var (
	fence   = regexp.MustCompile("(?m)^ *```")
	heading = regexp.MustCompile(`(?m)^## (.*)$`)
)

// page returns the faults of a page: its parts and its blocks.
func (c checker) page(text string) []string {
	prose, problems := c.blocks(text)
	var found []string
	for _, m := range heading.FindAllStringSubmatch(prose, -1) {
		if m[1] == "The files" {
			m[1] = "The file"
		}
		found = append(found, m[1])
	}
	if !slices.Equal(found, parts) {
		problems = append(problems, fmt.Sprintf("the headings are %q, want %q", found, parts))
	}
	return problems
}

// blocks returns the text without its blocks, and the faults of these.
func (c checker) blocks(text string) (prose string, problems []string) {
	blocks := walkthrough.Blocks(text)
	if n := len(fence.FindAllString(text, -1)); n != 2*len(blocks) {
		problems = append(problems, fmt.Sprintf("%d fences for %d blocks: is one indented or not closed?", n, len(blocks)))
	}
	prose = text
	for i, b := range blocks {
		prose = strings.Replace(prose, b.Text, "", 1)
		if err := c.block(b); err != nil {
			problems = append(problems, fmt.Sprintf("```%s\n%s```\n%v", b.Info, b.Text, err))
		}
		if b.Info == "text" && (i == 0 || blocks[i-1].Info != "sh") {
			problems = append(problems, "output without the command that prints it:\n"+b.Text)
		}
	}
	if len(blocks) == 0 {
		problems = append(problems, "no block")
	}
	return prose, problems
}
