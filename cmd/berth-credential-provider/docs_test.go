package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/berth-registry/berth/test/fakes/fakeaws"
	"github.com/berth-registry/berth/test/gobuild"
)

const page = "../../docs/credentials.md"

// block is a fenced block: the words after the opening fence, and the text.
type block struct{ info, text string }

var fence = regexp.MustCompile("(?ms)^```([^\n]*)\n(.*?)^```$")

func pageBlocks(t *testing.T) []block {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	var all []block
	for _, m := range fence.FindAllStringSubmatch(string(text), -1) {
		all = append(all, block{m[1], m[2]})
	}
	return all
}

var (
	// nodePath matches the start of a path of the node in a command.
	nodePath = regexp.MustCompile(`(^|[\s=])(/(?:usr|etc|var|run)/)`)
	fileName = regexp.MustCompile(`\A# (\S+\.ya?ml)\n`)
)

// TestPageCommands runs every command of docs/credentials.md, in order, on a node in a temporary
// directory, with an instance role and without keys. The text after a command is its output; an
// ellipsis in it matches any text.
func TestPageCommands(t *testing.T) {
	fake := fakeFor(t)
	dir := pageDir(t)
	ran, compared := 0, 0
	all := pageBlocks(t)
	for i, b := range all {
		if name := fileName.FindStringSubmatch(b.text); b.info == "yaml" && name != nil {
			if err := os.WriteFile(filepath.Join(dir, name[1]), []byte(b.text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if b.info != "sh" {
			continue
		}
		cmd := exec.Command("bash", "-euo", "pipefail", "-c", onNode(b.text, dir+"/node"))
		cmd.Dir = dir
		cmd.Env = append(fake.Env(), "PATH="+filepath.Join(dir, "bin")+":"+os.Getenv("PATH"), "HOME="+dir)
		out, err := cmd.CombinedOutput()
		want := block{}
		if i+1 < len(all) && strings.HasPrefix(all[i+1].info, "text") && all[i+1].info != "text flags" {
			want = all[i+1]
		}
		if failed := err != nil; failed != (want.info == "text exit 1") {
			t.Fatalf("%s\n%v\n%s", b.text, err, out)
		}
		ran++
		if want.text == "" {
			continue
		}
		compared++
		if !fits(want.text, string(out)) {
			t.Errorf("%s\nthe page shows\n%s\nit printed\n%s", b.text, want.text, out)
		}
	}
	if ran < 9 || compared < 5 {
		t.Errorf("%d commands ran, and %d outputs were compared", ran, compared)
	}
	checkFlags(t, all, dir)
}

// onNode returns a command with a directory in place of the node's root.
func onNode(command, node string) string {
	command = nodePath.ReplaceAllString(command, "$1"+node+"$2")
	return strings.ReplaceAll(command, "berth-credential-provider --rules", "berth-credential-provider --root "+node+" --rules")
}

// pageDir returns the directory of the commands, with the programs and files of the repository.
func pageDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := gobuild.Programs(t.Context(), ".", filepath.Join(dir, "bin")+"/", "../berth", ".", "../berth-ecr-token", "../docker-credential-berth"); err != nil {
		t.Fatal(err)
	}
	manifests, err := filepath.Abs("../../manifests")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(manifests, filepath.Join(dir, "manifests")); err != nil {
		t.Fatal(err)
	}
	return dir
}

// checkFlags checks that the files exist that kubelet's flags name: without them kubelet would
// exit.
func checkFlags(t *testing.T, all []block, dir string) {
	t.Helper()
	flags := 0
	for _, b := range all {
		if b.info != "text flags" {
			continue
		}
		for line := range strings.Lines(b.text) {
			_, path, _ := strings.Cut(strings.TrimSpace(line), "=")
			if _, err := os.Stat(filepath.Join(dir, "node", path)); err != nil {
				t.Error(err)
			}
			flags++
		}
	}
	if flags != 2 {
		t.Errorf("%d flags of kubelet are shown, not 2", flags)
	}
}

// fits compares the text of a page with the output of a program.
func fits(want, got string) bool {
	pattern := strings.ReplaceAll(regexp.QuoteMeta(want), "…", "(?s:.+?)")
	return regexp.MustCompile(`\A` + pattern + `\z`).MatchString(got)
}

// row is a line of a table.
type row []string

// tables returns the tables of the page by the text of their first row.
func tables(t *testing.T) map[string][]row {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string][]row{}
	var head string
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		switch {
		case !strings.HasPrefix(line, "|"):
			head = ""
		case head == "":
			head = line
		case !strings.HasPrefix(line, "|--"):
			var cells row
			for cell := range strings.SplitSeq(strings.Trim(line, "|"), "|") {
				cells = append(cells, strings.TrimSpace(cell))
			}
			found[head] = append(found[head], cells)
		}
	}
	return found
}

var code = regexp.MustCompile("^`([^`]*)`")

// TestPageLines causes every failure that the page lists, and compares the lines.
func TestPageLines(t *testing.T) {
	all, program := tables(t), binary(t)
	for head, c := range map[string]struct {
		cases  map[string]failure
		prefix string
	}{
		"| What happens | The line | What follows |":                       {profileFailures(), "instance profile: "},
		"| What happens | The line |":                                      {staticFailures(), "static keys: "},
		"| What happens | The line | Asked again |":                        {sdkFailures(), "sdk profile ecr-pull: "},
		"| What happens | The line, after `berth-credential-provider: ` |": {otherFailures(), "berth-credential-provider: "},
	} {
		if len(all[head]) != len(c.cases) {
			t.Errorf("%s has %d rows, and there are %d cases", head, len(all[head]), len(c.cases))
		}
		for _, r := range all[head] {
			t.Run(r[0], func(t *testing.T) {
				f, ok := c.cases[r[0]]
				if !ok {
					t.Fatal("no case brings this about")
				}
				shown := code.FindStringSubmatch(r[1])
				if shown == nil {
					t.Fatal("the second cell shows no line")
				}
				if f.slow != "" {
					checkSlow(t, f, shown[1], r)
					return
				}
				if f.outcome != "" { // no fake can produce it
					checkInSource(t, f, shown[1], r)
					return
				}
				n := newNode(t, program)
				f.arrange(n)
				_, line, err := n.ask()
				if _, ok := errors.AsType[*exec.ExitError](err); !ok {
					t.Fatalf("it did not fail: %v", err)
				}
				prefix := c.prefix
				if f.source != "" {
					prefix = f.source
				}
				want := prefix + n.local(shown[1])
				_, after, found := strings.Cut(line, prefix)
				after = prefix + after
				// A line break or the line of another source ends it.
				if !found || !fits(want+"; …", after) && !fits(want+"\n", after) {
					t.Errorf("the page shows\n%s\nit printed\n%s", want, line)
				}
				switch {
				case strings.HasSuffix(head, "| What follows |"):
					n.checkRemembered(t, r[2])
				case len(r) > 2:
					n.checkAskedAgain(t, shown[1], r[2])
				}
			})
		}
	}
}

// The page shows the whole line for the case that no source serves.
func TestPageNoSource(t *testing.T) {
	checked := false
	for _, b := range pageBlocks(t) {
		if b.info != "text no source" {
			continue
		}
		n := newNode(t, binary(t))
		n.fake.SetRole("", fakeaws.Key{})
		_, line, err := n.ask()
		if want := n.local(b.text); err == nil || line != want {
			t.Errorf("the page shows\n%s\nit printed\n%s", want, line)
		}
		_, line, _ = n.ask()
		if !strings.Contains(line, "GetAuthorizationToken (seen at "+time.Now().UTC().Format("2006-")) {
			t.Errorf("the second process says %s", line)
		}
		checked = true
	}
	if !checked {
		t.Error("the page shows no such line")
	}
}

// checkInSource checks the one outcome that depends on the hardware: text and time must be in the
// code.
func checkInSource(t *testing.T, f failure, shown string, r row) {
	t.Helper()
	source, err := os.ReadFile("../../credprovider/ecr/client/metadata.go")
	if err != nil {
		t.Fatal(err)
	}
	op, hint, found := strings.Cut(shown, ": "+string(f.outcome)+": ")
	if !found || !strings.Contains(string(source), op) || !strings.Contains(string(source), hint) {
		t.Errorf("%s is not what the code says", shown)
	}
	checkTime(t, f.outcome, r[2])
}

func describe(d time.Duration) string {
	if d < time.Minute {
		return fmt.Sprintf("%d s", int(d.Seconds()))
	}
	return fmt.Sprintf("%d min", int(d.Minutes()))
}
