//go:build e2e

package nspawn

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// page has the commands of docs/bare-metal.md, and those of docs/upgrade.md for packages. The test
// runs all of them.
type page struct {
	t    *testing.T
	runs map[string]bool // by line
}

func readPage(t *testing.T) *page {
	t.Helper()
	p := &page{t: t, runs: map[string]bool{}}
	p.read("../../docs/bare-metal.md", `(?s).*`)
	p.read("../../docs/upgrade.md", `(?s)\n## The packages\n.*?(\n## |\z)`)
	return p
}

// read adds the commands of a part of a page.
func (p *page) read(file, part string) {
	p.t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		p.t.Fatal(err)
	}
	section := regexp.MustCompile(part).FindString(string(text))
	before := len(p.runs)
	for _, block := range regexp.MustCompile("(?ms)^```sh\n(.*?)^```$").FindAllStringSubmatch(section, -1) {
		for line := range strings.Lines(block[1]) {
			p.runs[strings.TrimSpace(line)] = false
		}
	}
	if len(p.runs) == before {
		p.t.Fatalf("%s: no command was found", file)
	}
}

// line returns the command that begins with begin, to run it.
func (p *page) line(begin string) string {
	p.t.Helper()
	for line := range p.runs {
		if strings.HasPrefix(line, begin) {
			p.runs[line] = true
			return line
		}
	}
	p.t.Fatalf("the pages have no command %q", begin)
	return ""
}

// allRan checks that the pages have no other commands.
func (p *page) allRan() {
	p.t.Helper()
	for line, ran := range p.runs {
		if !ran {
			p.t.Errorf("the pages have a command that was not run: %s", line)
		}
	}
}
