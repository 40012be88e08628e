package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

type options struct {
	seed     uint64
	sample   int // 0: as targets.txt has it
	packages []string
	record   bool
	only     string // outcome
	jobs     int
	dir      string // of targets.txt, record.txt, renames.txt
	root     string // of the module
}

func main() {
	var o options
	var packages string
	flag.Uint64Var(&o.seed, "seed", 1, "of the sample that is drawn")
	flag.IntVar(&o.sample, "sample", 0, "mutants of each package, instead of those in targets.txt")
	flag.StringVar(&packages, "packages", "", "names in targets.txt or ./directories, with commas; all if empty")
	flag.BoolVar(&o.record, "record", false, "write the record: what was found, and new mutants up to the sample")
	flag.StringVar(&o.only, "only", "", "of those in the record, run only the ones with this outcome, such as survived")
	flag.IntVar(&o.jobs, "jobs", 2, "mutants at a time")
	flag.StringVar(&o.dir, "dir", "test/mutants", "where targets.txt, record.txt and renames.txt are")
	flag.StringVar(&o.root, "root", ".", "directory of the module")
	flag.Parse()
	if packages != "" {
		o.packages = strings.Split(packages, ",")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	ok, err := o.main(ctx, os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(2)
	}
	if !ok {
		os.Exit(1)
	}
}

// wants reports whether a target was asked for, by its name or a directory.
func (o options) wants(t target) bool {
	return len(o.packages) == 0 || slices.ContainsFunc(o.packages, func(p string) bool {
		return p == t.name || slices.Contains(t.dirs, strings.TrimPrefix(p, "./"))
	})
}

// main compares with the record, or writes it. It is false when a mutant that
// was killed survives, or a function is gone.
func (o options) main(ctx context.Context, out io.Writer) (bool, error) {
	targets, err := readTargets(filepath.Join(o.dir, "targets.txt"))
	if err != nil {
		return false, err
	}
	record, err := readRecord(filepath.Join(o.dir, "record.txt"))
	if err != nil {
		return false, err
	}
	renamed, err := readRenames(filepath.Join(o.dir, "renames.txt"))
	if err != nil {
		return false, err
	}
	scratch, err := os.MkdirTemp("", "mutants-")
	if err != nil {
		return false, err
	}
	defer os.RemoveAll(scratch)
	for _, p := range o.packages {
		if !slices.ContainsFunc(targets, func(t target) bool { return options{packages: []string{p}}.wants(t) }) {
			return false, fmt.Errorf("package %q: not in %s", p, filepath.Join(o.dir, "targets.txt"))
		}
	}
	for _, e := range record {
		if now := renamed.now(e.id); !slices.ContainsFunc(targets, func(t target) bool { return t.name == now.Package }) {
			return false, fmt.Errorf("%s: package %q is not in targets.txt; write it there or into renames.txt", e.id, now.Package)
		}
	}
	r := &runner{scratch: scratch, least: leastRun}
	good, rows := true, []row{}
	for _, t := range targets {
		if !o.wants(t) {
			continue
		}
		begin := time.Now()
		found, ok, err := o.target(ctx, out, r, t, record, renamed)
		if err != nil {
			return false, err
		}
		good = good && ok
		rows = append(rows, summarize(t.name, found, time.Since(begin)))
		if o.record {
			record = slices.DeleteFunc(record, func(e entry) bool { return renamed.now(e.id).Package == t.name })
			record = append(record, found...)
			if err := writeRecord(filepath.Join(o.dir, "record.txt"), record); err != nil {
				return false, err
			}
		}
	}
	writeSummary(out, rows)
	return good, nil
}

// again is how often a mutant that was killed, and survives, is run once more.
const again = 2

// target runs what the record has of one target and, to record, what is drawn.
func (o options) target(ctx context.Context, out io.Writer, r *runner, t target, record []entry, renamed renames) ([]entry, bool, error) {
	var all, drawable []mutant
	functions, dirs := map[string]bool{}, make([]string, len(t.dirs))
	for i, dir := range t.dirs {
		dir, err := filepath.Abs(filepath.Join(o.root, dir))
		if err != nil {
			return nil, false, err
		}
		here, names, err := find(t.name, dir)
		if err != nil {
			return nil, false, err
		}
		all = append(all, here...)
		for _, name := range names {
			functions[name] = true
		}
		dirs[i] = dir
	}
	for _, m := range all {
		if matches(filepath.Base(m.file), t.globs) {
			drawable = append(drawable, m)
		}
	}
	t.dirs = dirs
	good := true
	var found, known []entry
	var places []mutant
	for _, e := range record {
		old := e
		if e.id = renamed.now(e.id); e.Package != t.name {
			continue
		}
		m, err := locate(e, all, functions)
		if err != nil {
			fmt.Fprintf(out, "%s (%s): %v\n", old.id, e.Text, err)
			good = good && errors.Is(err, errNoPlace)
			continue
		}
		if e.Outcome == equivalent || o.only != "" && e.Outcome != o.only {
			e.id = m.id
			found = append(found, e)
			continue
		}
		known, places = append(known, e), append(places, m)
	}
	outcomes, err := o.run(ctx, r, t, places)
	if err != nil {
		return nil, false, err
	}
	// Tests that draw at random may miss a mutant once: it is lost if they miss it
	// time and again.
	for range again {
		var lost []int
		for i := range places {
			if outcomes[i] == survived && known[i].Outcome != survived {
				lost = append(lost, i)
			}
		}
		retried := make([]mutant, len(lost))
		for j, i := range lost {
			retried[j] = places[i]
		}
		more, err := o.run(ctx, r, t, retried)
		if err != nil {
			return nil, false, err
		}
		for j, i := range lost {
			outcomes[i] = more[j]
		}
	}
	for i, m := range places {
		e := entry{id: m.id, Outcome: outcomes[i], Text: m.Text}
		switch {
		case e.Outcome == discarded:
			fmt.Fprintf(out, "%s (%s): %v\n", m.id, m.Text, errNoPlace)
			continue
		case e.Outcome == survived && known[i].Outcome != survived:
			good = false
			fmt.Fprintf(out, "%s (%s): was %s and survives now; write the test again, or see docs/mutants.md\n", m.id, m.Text, known[i].Outcome)
		case e.Outcome != survived && known[i].Outcome == survived:
			fmt.Fprintf(out, "%s (%s): is %s now; -record notes it\n", m.id, m.Text, e.Outcome)
		}
		found = append(found, e)
	}
	if o.record {
		drawn, err := o.draw(ctx, r, t, drawable, found)
		if err != nil {
			return nil, false, err
		}
		for _, e := range drawn {
			if e.Outcome == survived {
				fmt.Fprintf(out, "%s (%s): survives\n", e.id, e.Text)
			}
		}
		found = append(found, drawn...)
	}
	return found, good, nil
}

// draw runs mutants in an order that the seed decides until found has as many
// as were asked for. Those that do not compile do not count.
func (o options) draw(ctx context.Context, r *runner, t target, all []mutant, found []entry) ([]entry, error) {
	sample := t.sample
	if o.sample > 0 {
		sample = o.sample
	}
	have := map[id]bool{}
	for _, e := range found {
		have[e.id] = true
	}
	hash := fnv.New64a()
	hash.Write([]byte(t.name))
	rand.New(rand.NewPCG(o.seed, hash.Sum64())).Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	all = slices.DeleteFunc(all, func(m mutant) bool { return have[m.id] })
	var drawn []entry
	for len(all) > 0 && len(found)+len(drawn) < sample {
		n := min(sample-len(found)-len(drawn), len(all))
		outcomes, err := o.run(ctx, r, t, all[:n])
		if err != nil {
			return nil, err
		}
		for i, m := range all[:n] {
			if outcomes[i] != discarded {
				drawn = append(drawn, entry{id: m.id, Outcome: outcomes[i], Text: m.Text})
			}
		}
		all = all[n:]
	}
	return drawn, nil
}

// run gives the outcomes of mutants, o.jobs at a time.
func (o options) run(ctx context.Context, r *runner, t target, all []mutant) ([]string, error) {
	if len(all) > 0 {
		for _, dir := range t.dirs {
			if err := r.baseline(ctx, dir); err != nil {
				return nil, err
			}
		}
	}
	outcomes, errs := make([]string, len(all)), make([]error, len(all))
	var wait sync.WaitGroup
	slots := make(chan struct{}, o.jobs)
	for i, m := range all {
		slots <- struct{}{}
		wait.Go(func() {
			defer func() { <-slots }()
			others := slices.DeleteFunc(slices.Clone(t.dirs), func(dir string) bool { return dir == m.dir })
			outcomes[i], errs[i] = r.run(ctx, m, others)
			fmt.Fprintf(os.Stderr, "%s\t%s\t%s\n", m.id, m.Text, outcomes[i])
		})
	}
	wait.Wait()
	return outcomes, errors.Join(errs...)
}

// row is a line of the summary.
type row struct {
	name   string
	counts map[string]int
	took   time.Duration
}

func summarize(name string, found []entry, took time.Duration) row {
	r := row{name, map[string]int{}, took}
	for _, e := range found {
		r.counts[e.Outcome]++
	}
	return r
}

// writeSummary writes a table for docs/mutants.md. The share is of the mutants
// that are not equivalent.
func writeSummary(out io.Writer, rows []row) {
	fmt.Fprint(out, "| package | mutants | killed | by timeout | survived | equivalent | share killed | duration |\n|---|---|---|---|---|---|---|---|\n")
	for _, r := range rows {
		dead := r.counts[killed] + r.counts[timedOut]
		real := dead + r.counts[survived]
		share := "-"
		if real > 0 {
			share = fmt.Sprintf("%d %%", 100*dead/real)
		}
		fmt.Fprintf(out, "| %s | %d | %d | %d | %d | %d | %s | %s |\n", r.name, real+r.counts[equivalent],
			r.counts[killed], r.counts[timedOut], r.counts[survived], r.counts[equivalent], share, r.took.Round(time.Second))
	}
}
