// Command differential runs the programs of two versions of Berth on the same nodes and configs,
// and compares the results: each file below the node's root (content, mode, target of a symlink),
// exit codes, JSON, the credential provider's answers and convert's output. It finds unintended
// changes of behaviour when code is moved or rewritten.
//
//	make differential
//	go run ./test/differential -old DIR -new DIR -trials 1000 -seed 1
//
// Each trial depends on its number alone: a RegistryConfig, a second one, the files of a node, the
// edits of other programs, and settings of other tools. Texts for people (messages, reasons,
// notices) are compared only as present or absent. Intended differences are named in purposes.go;
// each is recognised by a narrow rule, and counted. Any other difference fails: the trial's
// directory is kept, and the command to repeat it is printed.
//
// In each run results of the new version are also damaged and compared again. If the comparison
// does not find the damages, differential fails.
//
// Start with [trial.run], and with [purposes] for the intended changes.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"text/tabwriter"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var o options
	flag.StringVar(&o.old, "old", "", "directory with the programs of the old version")
	flag.StringVar(&o.new, "new", "", "directory with the programs of the new version")
	flag.IntVar(&o.trials, "trials", 1000, "number of trials")
	flag.Uint64Var(&o.seed, "seed", 1, "seed of all trials")
	flag.IntVar(&o.only, "only", -1, "run this trial alone, and keep its directory")
	flag.IntVar(&o.parallel, "parallel", 2, "trials at a time")
	flag.StringVar(&o.dir, "dir", defaultDir(), "directory to work in")
	flag.Parse()
	if err := run(ctx, os.Stdout, o); err != nil {
		fmt.Fprintln(os.Stderr, "differential:", err)
		os.Exit(1)
	}
}

type options struct {
	old, new string
	trials   int
	seed     uint64
	only     int // -1: all
	parallel int
	dir      string
	rooted   [2]bool // see trial
	probes   [2]bool // see trial
	docker   bool    // both versions convert Docker's files
}

// defaultDir is in memory if possible.
func defaultDir() string {
	const memory = "/dev/shm"
	if info, err := os.Stat(memory); err == nil && info.IsDir() {
		return memory
	}
	return os.TempDir()
}

// result is the outcome of one trial.
type result struct {
	number   int
	commands int            // of both versions together
	purposes map[string]int // intended differences by purpose
	failures []string       // unintended differences
	damaged  map[string]int // damages by kind
	missed   map[string]int // damages that the comparison did not find
	dir      string
	err      error // the trial could not be run
}

func run(ctx context.Context, out io.Writer, o options) error {
	if o.old == "" || o.new == "" {
		return errors.New("-old and -new are required; make differential builds both")
	}
	if o.trials < 1 || o.parallel < 1 {
		return errors.New("-trials and -parallel must be at least 1")
	}
	for _, dir := range []*string{&o.old, &o.new} {
		var err error
		if *dir, err = filepath.Abs(*dir); err != nil {
			return err
		}
	}
	work, err := os.MkdirTemp(o.dir, "differential-")
	if err != nil {
		return err
	}
	o.docker = true
	for v, programs := range []string{o.old, o.new} {
		formats, err := exec.CommandContext(ctx, filepath.Join(programs, berth), "convert", "--help").Output()
		if err != nil {
			return fmt.Errorf("%s of %s: %w", berth, programs, err)
		}
		o.docker = o.docker && strings.Contains(string(formats), "certs.d")
		help, err := exec.CommandContext(ctx, filepath.Join(programs, provider), "--help").Output()
		if err != nil {
			return fmt.Errorf("%s of %s: %w", provider, programs, err)
		}
		o.rooted[v] = strings.Contains(string(help), "--root")
		apply, _ := exec.CommandContext(ctx, filepath.Join(programs, berth), "apply", "--help").Output() // without the flag in it, nothing is probed
		o.probes[v] = strings.Contains(string(apply), "--no-probe")
	}
	clouds, err := startClouds()
	if err != nil {
		return err
	}
	defer clouds.close()

	started := time.Now()
	numbers := make(chan int)
	results := make(chan result)
	var workers sync.WaitGroup
	for range o.parallel {
		workers.Go(func() {
			for n := range numbers {
				t := newTrial(o, n, filepath.Join(work, fmt.Sprint(n)), clouds)
				results <- t.run(ctx)
			}
		})
	}
	go func() {
		defer close(results)
		defer workers.Wait()
		defer close(numbers)
		for n := range o.trials {
			if o.only >= 0 && n != o.only {
				continue
			}
			select {
			case numbers <- n:
			case <-ctx.Done():
				return
			}
		}
	}()
	var all []result
	for r := range results {
		r.tell(out, o)
		if len(r.failures) == 0 && r.err == nil && o.only < 0 {
			os.RemoveAll(r.dir)
		}
		all = append(all, r)
	}
	_ = os.Remove(work) // it stays if a trial's directory stays
	if err := ctx.Err(); err != nil {
		return err
	}
	return summarize(out, o, all, time.Since(started))
}

// tell prints the failures of a trial, and how to repeat it.
func (r result) tell(out io.Writer, o options) {
	const most = 12 // lines
	for i, f := range r.failures {
		if i == most {
			fmt.Fprintf(out, "trial %d: %d more\n", r.number, len(r.failures)-most)
			break
		}
		fmt.Fprintf(out, "trial %d: %s\n", r.number, f)
	}
	if r.err != nil {
		fmt.Fprintf(out, "trial %d: %v\n", r.number, r.err)
	}
	if len(r.failures) > 0 || r.err != nil {
		fmt.Fprintf(out, "trial %d: inputs and results: %s\n  again: go run ./test/differential -old %s -new %s -seed %d -trials %d -only %d\n",
			r.number, r.dir, o.old, o.new, o.seed, o.trials, r.number)
	}
}

// summarize prints the sums and returns an error if the versions differ.
func summarize(out io.Writer, o options, all []result, took time.Duration) error {
	counts := map[string]int{}
	trials := map[string]int{}
	damaged, missed := map[string]int{}, map[string]int{}
	var commands, failed, broken int
	for _, r := range all {
		commands += r.commands
		for what, n := range r.damaged {
			damaged[what] += n
			missed[what] += r.missed[what]
		}
		if len(r.failures) > 0 {
			failed++
		}
		if r.err != nil {
			broken++
		}
		for name, n := range r.purposes {
			counts[name] += n
			trials[name]++
		}
	}
	var unused []string
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "changed on purpose\ttrials\tdifferences\t")
	for _, p := range purposes {
		fmt.Fprintf(t, "%s\t%d\t%d\t\n", p.name, trials[p.name], counts[p.name])
		if counts[p.name] == 0 {
			unused = append(unused, p.name)
		}
	}
	t.Flush()
	for _, name := range unused {
		fmt.Fprintf(out, "unused: %s\n", name)
	}
	fmt.Fprintln(t, "damage\tmade\tfound\t")
	var unseen []string
	for _, d := range damages {
		found := damaged[d.what] - missed[d.what]
		fmt.Fprintf(t, "%s\t%d\t%d\t\n", d.what, damaged[d.what], found)
		// A purpose hides some damages, mostly all of them in one trial of many. More than a tenth
		// is too much.
		if o.only < 0 && (found == 0 || o.trials >= 100 && found*10 < damaged[d.what]*9) {
			unseen = append(unseen, d.what)
		}
	}
	t.Flush()
	if !o.docker {
		fmt.Fprintln(out, "not compared: convert --from docker and --from certs.d, which one version does not know")
	}
	fmt.Fprintf(out, "%d trials, %d commands, seed %d, %v; %d trials differ\n", len(all), commands, o.seed, took.Round(time.Second), failed)
	switch {
	case broken > 0:
		return fmt.Errorf("%d trials could not be run", broken)
	case failed > 0:
		return fmt.Errorf("%d of %d trials differ in a way that purposes.go does not name", failed, len(all))
	case len(unseen) > 0:
		return fmt.Errorf("damages that the comparison does not see: %s", strings.Join(unseen, ", "))
	}
	return nil
}

// sortedKeys returns the keys of both maps, sorted.
func sortedKeys(a, b map[string]string) []string {
	var keys []string
	for k := range a {
		keys = append(keys, k)
	}
	for k := range b {
		if _, both := a[k]; !both {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	return keys
}
