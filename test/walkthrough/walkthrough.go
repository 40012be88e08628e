// Package walkthrough follows a page of docs in its order: it writes the files that the page shows,
// runs its commands, and compares their output with the page.
//
// What it reads are the fenced blocks of the page:
//
//	sh        commands; the words after "sh" say where they are run
//	text      the output of the commands before it; "text exit 1" with that exit code
//	yaml toml a file, with its name in a comment in its first line
//
// Start with [Walk].
package walkthrough

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"time"
)

// Block is a fenced block of a page: the words after the fence, and the text.
type Block struct{ Info, Text string }

var (
	fence    = regexp.MustCompile("(?ms)^```([^\n]*)\n(.*?)^```$")
	fileName = regexp.MustCompile(`\A# (\S+\.(?:ya?ml|toml))\n`)
)

// Blocks returns the fenced blocks of a page.
func Blocks(page string) []Block {
	var all []Block
	for _, m := range fence.FindAllStringSubmatch(page, -1) {
		all = append(all, Block{m[1], m[2]})
	}
	return all
}

// Step is a block of commands that was run.
type Step struct {
	Block
	Printed string
	Code    int
	Took    time.Duration
}

// Place is where a page is followed.
type Place interface {
	// File writes a file of the page.
	File(name, content string) error
	// Run runs commands at the place that words name, and returns their output and exit code.
	Run(ctx context.Context, words []string, commands string) (printed string, code int, err error)
}

// Walk follows a page in its order. The problems are all differences from the page; a command that
// cannot be run, or ends with another exit code, ends the walk.
func Walk(ctx context.Context, page string, p Place) (steps []Step, problems []string) {
	all := Blocks(page)
	for i, b := range all {
		language, words, _ := strings.Cut(b.Info, " ")
		var err error
		switch language {
		case "yaml", "toml":
			if m := fileName.FindStringSubmatch(b.Text); m != nil {
				err = p.File(m[1], b.Text)
			} else {
				err = fmt.Errorf("a file without a name in its first line:\n%s", b.Text)
			}
		case "text":
			if i == 0 || !strings.HasPrefix(all[i-1].Info, "sh") || b.Text == "" {
				err = fmt.Errorf("no command comes before this output, or it is empty:\n%s", b.Text)
			}
		case "sh":
			s, began := Step{Block: b}, time.Now()
			if s.Printed, s.Code, err = p.Run(ctx, strings.Fields(words), b.Text); err != nil {
				break
			}
			s.Took = time.Since(began)
			steps = append(steps, s)
			var want Block
			if i+1 < len(all) && strings.HasPrefix(all[i+1].Info, "text") {
				want = all[i+1]
			}
			if !fits(want.Text, s.Printed) {
				problems = append(problems, fmt.Sprintf("%sthe page shows\n%s\nit printed\n%s", b.Text, want.Text, s.Printed))
			}
			if s.Code != exitCode(want) {
				err = fmt.Errorf("%sexit code %d, and the page says %d; it printed\n%s", b.Text, s.Code, exitCode(want), s.Printed)
			}
		default:
			err = fmt.Errorf("a block of %q", b.Info)
		}
		if err != nil {
			return steps, append(problems, err.Error())
		}
	}
	return steps, problems
}

// exitCode returns the exit code that the page gives for the commands before an output.
func exitCode(output Block) int {
	if output.Info == "text exit 1" {
		return 1
	}
	return 0
}

// fits compares the page's output with the actual one. An ellipsis matches anything; a page without
// output matches everything.
func fits(shown, printed string) bool {
	pattern := strings.ReplaceAll(regexp.QuoteMeta(shown), "…", "(?s:.+?)")
	return shown == "" || regexp.MustCompile(`\A`+pattern+`\z`).MatchString(printed)
}
