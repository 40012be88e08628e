package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// tiny gives the mutants of testdata/tiny by their names.
func tiny(t *testing.T) map[string]mutant {
	t.Helper()
	dir, err := filepath.Abs(filepath.Join("testdata", "tiny"))
	if err != nil {
		t.Fatal(err)
	}
	all, functions, err := find("tiny", dir)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(functions, "nothing") {
		t.Errorf("functions %v: one without mutants is missing", functions)
	}
	named := map[string]mutant{}
	for _, m := range all {
		named[m.id.String()] = m
	}
	if len(named) != len(all) {
		t.Errorf("%d names for %d mutants", len(named), len(all))
	}
	return named
}

// The outcomes of testdata/tiny, of which some are survivors.
var tinyOutcomes = map[string]struct{ text, outcome string }{
	"tiny box.add assign 1":  {"b.items = append(b.items, n)", killed},
	"tiny box.add call 1":    {`panic("negative")`, killed},
	"tiny box.add negate 1":  {"n < 0", killed},
	"tiny box.add swap 1":    {"< to <=: n < 0", survived},
	"tiny count assign 1":    {"times++", killed},
	"tiny count assign 2":    {"n--", timedOut},
	"tiny count negate 1":    {"n != 0", killed},
	"tiny larger negate 1":   {"a > b", killed},
	"tiny larger swap 1":     {"> to >=: a > b", survived},
	"tiny named assign 1":    {"name = unused + name", discarded},
	"tiny named swap 1":      {"+ to -: unused + name", discarded},
	"tiny untested swap 1":   {"&& to ||: a && b", survived},
	"tiny untested negate 1": {"!a", survived},
}

func TestOutcomes(t *testing.T) {
	all := tiny(t)
	for name, want := range tinyOutcomes {
		if all[name].Text != want.text {
			t.Errorf("%s is %q, want %q", name, all[name].Text, want.text)
		}
	}
	if len(all) != len(tinyOutcomes) {
		t.Errorf("%d mutants, want %d", len(all), len(tinyOutcomes))
	}
	// One of each outcome, and with the unchanged tree afterwards. Only what
	// hangs is judged by time, and it hangs for as long as it may.
	for name, limit := range map[string]time.Duration{
		"tiny box.add call 1": time.Hour, "tiny larger swap 1": time.Hour, "tiny named assign 1": time.Hour, "tiny count assign 2": time.Second / 10,
	} {
		m := all[name]
		before, err := os.ReadFile(m.file)
		if err != nil {
			t.Fatal(err)
		}
		r := &runner{scratch: t.TempDir()}
		r.limits.Store(m.dir, limit)
		got, err := r.run(context.Background(), m, nil)
		if err != nil || got != tinyOutcomes[name].outcome {
			t.Errorf("%s: %q, %v; want %q", name, got, err, tinyOutcomes[name].outcome)
		}
		if after, err := os.ReadFile(m.file); err != nil || string(after) != string(before) {
			t.Errorf("%s: the file has changed", name)
		}
	}
}

// repository is a directory with the files of one, for testdata/tiny.
func repository(t *testing.T, record, renames string) options {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{"targets.txt": "tiny 99 .\nold 1 .\n", "record.txt": record, "renames.txt": renames} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return options{seed: 1, jobs: 2, dir: dir, root: filepath.Join("testdata", "tiny"), packages: []string{"tiny"}}
}

// A recorded place is found again after moves and renames, or it is said to be gone.
func TestLocate(t *testing.T) {
	dir, err := filepath.Abs(filepath.Join("testdata", "tiny"))
	if err != nil {
		t.Fatal(err)
	}
	all, names, err := find("tiny", dir)
	if err != nil {
		t.Fatal(err)
	}
	functions := map[string]bool{}
	for _, name := range names {
		functions[name] = true
	}
	for name, c := range map[string]struct {
		line    string // package, function, operator, n, code
		renames string
		want    string
		err     error
	}{
		"as recorded":           {"tiny,larger,negate,1,a > b", "", "tiny larger negate 1", nil},
		"its variables are new": {"tiny,larger,negate,1,left > right", "", "tiny larger negate 1", nil},
		"it moved within":       {"tiny,count,assign,7,n--", "", "tiny count assign 2", nil},
		"others came before it": {"tiny,count,assign,1,n--", "", "tiny count assign 2", nil},
		"moved":                 {"old,bigger,negate,1,a > b", "old bigger tiny larger", "tiny larger negate 1", nil},
		"a type is renamed":     {"old,chest.add,negate,1,n < 0", "old chest.* tiny box.*", "tiny box.add negate 1", nil},
		"a method of it, too":   {"old,chest.put,negate,1,n < 0", "old chest.* tiny box.*\nold chest.put tiny box.add", "tiny box.add negate 1", nil},
		"the function is gone":  {"tiny,lost,negate,1,a > b", "", "", errNoFunction},
		"the method is gone":    {"tiny,chest.add,negate,1,n < 0", "", "", errNoFunction},
		"renamed to nothing":    {"tiny,larger,negate,1,a > b", "tiny larger tiny lost", "", errNoFunction},
		"the place is gone":     {"tiny,nothing,negate,1,a", "", "", errNoPlace},
		"it has fewer":          {"tiny,count,assign,3,other", "", "", errNoPlace},
	} {
		o := repository(t, "", c.renames)
		f := strings.Split(c.line, ",")
		r, err := readRenames(filepath.Join(o.dir, "renames.txt"))
		if err != nil {
			t.Fatal(err)
		}
		n, err := strconv.Atoi(f[3])
		if err != nil {
			t.Fatal(err)
		}
		e := entry{id: r.now(id{f[0], f[1], f[2], n}), Text: f[4]}
		m, err := locate(e, all, functions)
		if got := m.id.String(); !errors.Is(err, c.err) || err == nil && got != c.want {
			t.Errorf("%s: %s, %v; want %s, %v", name, got, err, c.want, c.err)
		}
	}
}

// The control: a kill that is lost and a function that is gone fail, and what is
// as recorded does not.
func TestCompare(t *testing.T) {
	const untested = "tiny\tuntested\tswap\t1\tkilled\t&& to ||: a && b\n"
	for name, c := range map[string]struct {
		record string
		good   bool
		says   string
	}{
		"as recorded":        {"tiny\tlarger\tnegate\t1\tsurvived\ta > b\ntiny\tuntested\tswap\t1\tsurvived\t&& to ||: a && b\n", true, "| tiny | 2 | 1 | 0 | 1 | 0 | 50 % |"},
		"a kill is lost":     {untested, false, "tiny untested swap 1 (&& to ||: a && b): was killed and survives now"},
		"equivalent":         {"tiny\tuntested\tswap\t1\tequivalent\t&& to ||: a && b\tno reason\n", true, "| tiny | 1 | 0 | 0 | 0 | 1 | - |"},
		"a function is gone": {"tiny\tlost\tnegate\t1\tkilled\ta > b\n", false, "tiny lost negate 1 (a > b): the function is gone; write into renames.txt"},
		"a place is gone":    {"tiny\tnothing\tnegate\t1\tkilled\ta\n", true, "tiny nothing negate 1 (a): the function has changed"},
	} {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			good, err := repository(t, c.record, "").main(context.Background(), &out)
			if err != nil || good != c.good || !strings.Contains(out.String(), c.says) {
				t.Errorf("%v, %v, want %v and %q:\n%s", good, err, c.good, c.says, out.String())
			}
		})
	}
}

// The same seed draws the same mutants, and what is there is kept.
func TestRecord(t *testing.T) {
	draw := func(record string) (string, error) {
		o := repository(t, record, "")
		o.record, o.sample = true, 2
		var out strings.Builder
		if _, err := o.main(context.Background(), &out); err != nil {
			return "", fmt.Errorf("%w:\n%s", err, out.String())
		}
		content, err := os.ReadFile(filepath.Join(o.dir, "record.txt"))
		return string(content), err
	}
	first, err := draw("")
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(first, "\ntiny\t"); n != 2 {
		t.Errorf("%d mutants, want 2:\n%s", n, first)
	}
	for line := range strings.Lines(first) {
		if f := strings.Split(strings.TrimSpace(line), "\t"); len(f) > 1 && tinyOutcomes[strings.Join(f[:4], " ")].outcome != f[4] {
			t.Errorf("recorded: %s", line)
		}
	}
	// One line is by hand, the other one is drawn again.
	const kept = "tiny\tlarger\tswap\t1\tequivalent\t> to >=: a > b\tfor equal numbers both are the same\n"
	second, err := draw(kept)
	if want := strings.Replace(first, "tiny\tlarger\tswap\t1\tsurvived\t> to >=: a > b\n", kept, 1); err != nil || second != want || second == first {
		t.Errorf("drawn again (%v):\n%s\nwant:\n%s", err, second, want)
	}
}

func TestRefuses(t *testing.T) {
	for name, c := range map[string]struct{ record, renames, says string }{
		"columns":        {"tiny\tlarger\n", "", "record.txt:1: has not 6 or 7 columns"},
		"outcome":        {"tiny\tlarger\tnegate\t1\tdead\ta\n", "", "outcome \"dead\""},
		"no reason":      {"tiny\tlarger\tnegate\t1\tequivalent\ta\n", "", "a reason belongs"},
		"unknown target": {"else\tlarger\tnegate\t1\tkilled\ta\n", "", "package \"else\" is not in targets.txt"},
		"rename":         {"", "tiny larger tiny\n", "renames.txt:1: write old package"},
	} {
		_, err := repository(t, c.record, c.renames).main(context.Background(), &strings.Builder{})
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
	}
	o := repository(t, "", "")
	o.packages = []string{"absent"}
	if _, err := o.main(context.Background(), &strings.Builder{}); err == nil {
		t.Error("a package that is no target is taken")
	}
}
