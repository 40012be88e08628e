package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const root = "../.."

// TestPageHasTheRecord: docs/compatibility.md says what the record says.
func TestPageHasTheRecord(t *testing.T) {
	rec, err := readRecord(filepath.Join(root, recordFile))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, compatibilityPage))
	if err != nil {
		t.Fatal(err)
	}
	want, err := fill(string(text), cells(), rec)
	if err != nil {
		t.Fatal(err)
	}
	if string(text) != want {
		t.Error("docs/compatibility.md has other results than test/matrix/record.jsonl; run: make compatibility")
	}
	for _, name := range unexplained(string(text), rec) {
		t.Errorf("%s failed, and docs/compatibility.md does not say why; add a line \"- `%s`: REASON\"", name, name)
	}
	for name := range rec.results {
		if !slices.ContainsFunc(cells(), func(c cell) bool { return c.name == name }) {
			t.Errorf("test/matrix/record.jsonl: %s: there is no such cell; remove the line", name)
		}
	}
}

// trial runs cells in a new repository, and returns what is printed and the error.
func trial(t *testing.T, commands ...string) (m *matrix, all []cell) {
	t.Helper()
	t.Chdir(t.TempDir())
	if err := os.MkdirAll(filepath.Dir(recordFile), 0o755); err != nil {
		t.Fatal(err)
	}
	for i, command := range commands {
		all = append(all, cell{name: "x-1/" + string(rune('a'+i)), run: command})
	}
	m = &matrix{out: &bytes.Buffer{}, record: &record{file: recordFile, results: map[string]result{}}, state: state{"abc", "1234"}}
	m.run(t.Context(), all, 2)
	if m.err != nil {
		t.Fatal(m.err)
	}
	return m, all
}

func TestOutcomes(t *testing.T) {
	for _, c := range []struct{ command, outcome, found string }{
		{"echo ok", passed, ""},
		{"echo '    a_test.go:1: matrix: 7 of 9'", passed, "7 of 9"},
		{"exit 3", failed, "exit status 3"},
		{"echo '--- FAIL: TestA'; echo '    --- FAIL: TestA/b'; exit 1", failed, "TestA/b"},
		{"echo '--- SKIP: TestA'", failed, "--- SKIP: TestA"},
		{"echo 'ok  x  0.1s [no tests to run]'", failed, "no tests to run"},
		{"echo 'panic: of the program'; exit 2", failed, "panic: of the program"},
	} {
		m, all := trial(t, c.command)
		rec, err := readRecord(recordFile)
		if err != nil {
			t.Fatal(err)
		}
		r := rec.results[all[0].name]
		found := strings.Join(append(r.Notes, r.Differs...), "; ")
		if r.Outcome != c.outcome || !strings.Contains(found, c.found) || strings.Contains(found, "TestA;") {
			t.Errorf("%s: %+v", c.command, r)
		}
		if m.record.passed(r.Cell, m.state) != (c.outcome == passed) {
			t.Errorf("%s: passed: %t", c.command, c.outcome != passed)
		}
	}
}

// A run goes on with what has not passed in this state of the code.
func TestChoose(t *testing.T) {
	m, all := trial(t, "true", "false", "true")
	names := func(o options, now state) string {
		_, due, err := o.choose(all, m.record, now)
		if err != nil {
			t.Fatal(err)
		}
		text := ""
		for _, c := range due {
			text += strings.TrimPrefix(c.name, "x-1/")
		}
		return text
	}
	for _, c := range []struct {
		o    options
		now  state
		want string
	}{
		{options{}, m.state, "b"},
		{options{again: true}, m.state, "abc"},
		{options{}, state{"def", "5678"}, "abc"},
		{options{}, state{"abc-dirty", ""}, "abc"},
		{options{selected: regexp.MustCompile("x-1/[bc]")}, m.state, "b"},
	} {
		if got := names(c.o, c.now); got != c.want {
			t.Errorf("%+v in %v: %q, want %q", c.o, c.now, got, c.want)
		}
	}
	if _, _, err := (options{selected: regexp.MustCompile("y")}).choose(all, m.record, m.state); err == nil {
		t.Error("a pattern without a cell is accepted")
	}
}

// The state changes with the code, and not with pages and the record.
func TestState(t *testing.T) {
	t.Chdir(t.TempDir())
	git := func(args ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "git", append([]string{"-c", "user.name=x", "-c", "user.email=x@example.com", "-c", "commit.gpgsign=false"}, args...)...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %s: %v: %s", args, err, out)
		}
	}
	put := func(name, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	hash := func() string {
		t.Helper()
		now, err := currentState(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return now.Hash
	}
	git("init", "-q")
	put("main.go", "package main")
	git("add", ".")
	git("commit", "-qm", "code")
	first := hash()
	put("docs/page.md", "text")
	put(recordFile, "{}")
	if first == "" || hash() != first {
		t.Errorf("with a page: %q, before: %q", hash(), first)
	}
	git("add", ".")
	git("commit", "-qm", "results")
	if hash() != first {
		t.Error("a commit of results changes the state")
	}
	put("main.go", "package other")
	if hash() != "" {
		t.Error("code that is not committed has a state")
	}
	git("commit", "-qam", "code")
	if hash() == first || hash() == "" {
		t.Error("a commit of code does not change the state")
	}
}

func TestFill(t *testing.T) {
	all := []cell{{name: "x-1/a"}, {name: "x-1/b"}, {name: "x-10/a"}}
	rec := &record{results: map[string]result{
		"x-1/a": {Cell: "x-1/a", Outcome: passed, Date: "2026-01-02", Seconds: 3, Notes: []string{"5|6"}},
		"x-1/b": {Cell: "x-1/b", Outcome: failed, Date: "2026-01-03", Differs: []string{"TestB"}},
	}}
	got, err := fill("| 1 | <!-- state: x-1 --><!-- end --> | by hand |\n| <!-- state: x-10 -->old<!-- end --> |\n<!-- table: x --><!-- end -->\n", all, rec)
	want := "| 1 | <!-- state: x-1 -->run, 2026-01-02; **fails**: b<!-- end --> | by hand |\n| <!-- state: x-10 -->not run: a<!-- end --> |\n" +
		"<!-- table: x -->\n| cell | result | date | time | found |\n|---|---|---|---:|---|\n" +
		"| `x-1/a` | passed | 2026-01-02 | 3 s | 5\\|6 |\n| `x-1/b` | **FAILED** | 2026-01-03 | 0 s | TestB |\n| `x-10/a` | not run | | | |\n<!-- end -->\n"
	if err != nil || got != want {
		t.Errorf("%v\n%s\nwant\n%s", err, got, want)
	}
	if again, err := fill(got, all, rec); err != nil || again != got {
		t.Errorf("the second time: %v\n%s", err, again)
	}
	if _, err := fill("<!-- state: y-1 --><!-- end -->", all, rec); err == nil {
		t.Error("a cell that does not exist is accepted")
	}
	if got := unexplained(want, rec); !slices.Equal(got, []string{"x-1/b"}) {
		t.Errorf("without a reason: %q", got)
	}
	if got := unexplained(want+"\n- `x-1/b`: it has no IPv6\n", rec); len(got) > 0 {
		t.Errorf("with a reason: %q", got)
	}
}

func TestWithColumn(t *testing.T) {
	const page = "text\n\n| form | 1 | 2 |\n|---|---|---|\n| a | x, y | y |\n| gone | x | y |\n\nmore\n"
	got, err := withColumn(page, "2", []form{{"new", "n"}, {"a", "**m**"}})
	want := "text\n\n| form | 1 | 2 |\n|---|---|---|\n| new | – | n |\n| a | x, y | **m** |\n\nmore\n"
	if err != nil || got != want {
		t.Errorf("%v\n%s", err, got)
	}
	if got, err = withColumn(page, "3", []form{{"a", "z"}}); err != nil || !strings.Contains(got, "| form | 1 | 2 | 3 |\n|---|---|---|---|\n| a | x, y | y | z |\n") {
		t.Errorf("%v\n%s", err, got)
	}
	if _, err := withColumn("no table", "3", nil); err == nil {
		t.Error("a page without the table is accepted")
	}
}

func TestCells(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range cells() {
		if seen[c.name] || c.run == "" || c.version() == "" && !strings.HasPrefix(c.name, "arm64/") {
			t.Errorf("cell %+v", c)
		}
		seen[c.name] = true
	}
}
