package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
)

// entry is a line of the record.
type entry struct {
	id
	Outcome string
	Text    string // what the mutant changed when it was recorded
	Why     string // of an equivalent mutant
}

func (e entry) String() string {
	s := fmt.Sprintf("%s\t%s\t%s\t%d\t%s\t%s", e.Package, e.Func, e.Op, e.N, e.Outcome, e.Text)
	if e.Why != "" {
		s += "\t" + e.Why
	}
	return s
}

// readRecord reads the entries of a file; one that is missing has none.
func readRecord(file string) ([]entry, error) {
	var all []entry
	err := eachLine(file, func(line string) error {
		f := strings.Split(line, "\t")
		if len(f) < 6 || len(f) > 7 {
			return errors.New("has not 6 or 7 columns; write package, function, operator, n, outcome, text and, if equivalent, why")
		}
		n, err := strconv.Atoi(f[3])
		if err != nil {
			return err
		}
		e := entry{id: id{f[0], f[1], f[2], n}, Outcome: f[4], Text: f[5]}
		if len(f) == 7 {
			e.Why = f[6]
		}
		if !slices.Contains([]string{killed, timedOut, survived, equivalent}, e.Outcome) {
			return fmt.Errorf("outcome %q; write killed, timeout, survived or equivalent", e.Outcome)
		}
		if (e.Outcome == equivalent) != (e.Why != "") {
			return errors.New("a reason belongs to equivalent mutants; write it into column 7")
		}
		all = append(all, e)
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return all, err
}

// eachLine calls do with each line of file that is neither empty nor a comment.
func eachLine(file string, do func(line string) error) error {
	content, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	n := 0
	for line := range strings.Lines(string(content)) {
		n++
		line = strings.TrimRight(line, "\n")
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if err := do(line); err != nil {
			return fmt.Errorf("%s:%d: %w", file, n, err)
		}
	}
	return nil
}

const recordHead = `# What the tests of each package found: package, function, operator, n-th in it,
# outcome, the code, and why a mutant is equivalent. See docs/mutants.md.
`

func writeRecord(file string, all []entry) error {
	all = slices.Clone(all)
	slices.SortFunc(all, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.Package, b.Package), cmp.Compare(a.Func, b.Func), cmp.Compare(a.Op, b.Op), cmp.Compare(a.N, b.N))
	})
	var out bytes.Buffer
	out.WriteString(recordHead)
	for _, e := range all {
		fmt.Fprintln(&out, e)
	}
	return os.WriteFile(file, out.Bytes(), 0o644)
}

// target is a part of the code that has a record.
type target struct {
	name   string
	sample int
	dirs   []string // where its functions may be now, whose tests count
	globs  []string // of the files that are drawn from; none means all
}

func readTargets(file string) ([]target, error) {
	var all []target
	return all, eachLine(file, func(line string) error {
		f := strings.Fields(line)
		if len(f) < 3 {
			return errors.New("write name, sample and directories")
		}
		n, err := strconv.Atoi(f[1])
		if err != nil {
			return err
		}
		t := target{name: f[0], sample: n}
		for _, s := range f[2:] {
			if strings.HasSuffix(s, ".go") {
				t.globs = append(t.globs, s)
			} else {
				t.dirs = append(t.dirs, s)
			}
		}
		all = append(all, t)
		return nil
	})
}

// renames says what became of functions: "package Function", or "package Type.*"
// for the methods of a type.
type renames map[string][2]string

func readRenames(file string) (renames, error) {
	r := renames{}
	return r, eachLine(file, func(line string) error {
		f := strings.Fields(line)
		if len(f) != 4 || strings.HasSuffix(f[1], ".*") != strings.HasSuffix(f[3], ".*") {
			return errors.New("write old package, old function, new package, new function; Type.* stands for all methods")
		}
		r[f[0]+" "+f[1]] = [2]string{f[2], f[3]}
		return nil
	})
}

// now gives the name that a recorded mutant has today.
func (r renames) now(i id) id {
	if to, ok := r[i.Package+" "+i.Func]; ok {
		i.Package, i.Func = to[0], to[1]
		return i
	}
	if receiver, method, ok := strings.Cut(i.Func, "."); ok {
		if to, ok := r[i.Package+" "+receiver+".*"]; ok {
			i.Package, i.Func = to[0], strings.TrimSuffix(to[1], "*")+method
		}
	}
	return i
}

// errNoFunction reports a function that is not where the record has it.
var errNoFunction = errors.New("the function is gone; write into renames.txt what became of it")

// errNoPlace reports that a function holds less than when it was recorded.
var errNoPlace = errors.New("the function has changed: it has no such place any more")

// locate finds a recorded mutant, whose id is today's, in the code: the one with
// the same code, or else the n-th.
func locate(e entry, all []mutant, functions map[string]bool) (mutant, error) {
	if !functions[e.Func] {
		return mutant{}, errNoFunction
	}
	var same, nth *mutant
	for i := range all {
		m := &all[i]
		if m.Package != e.Package || m.Func != e.Func || m.Op != e.Op {
			continue
		}
		if m.N == e.N {
			nth = m
		}
		if m.Text == e.Text && (same == nil || m.N == e.N) {
			same = m
		}
	}
	switch {
	case same != nil:
		return *same, nil
	case nth != nil:
		return *nth, nil
	}
	return mutant{}, errNoPlace
}
