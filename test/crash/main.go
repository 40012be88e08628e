// Command crash kills a process that writes hosts.toml files, at random moments and at every step
// of a write, while a reader reads the files in a loop. It counts faults that a node must never
// have: a torn file, a directory without its file, a temporary file that remains after the next
// apply.
//
//	go run ./test/crash -trials 300 -seed 1
//
// The control is a writer that writes in place, which must show torn reads. If it does not, crash
// fails.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "child" {
		if err := child(os.Args[2:], os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "crash child:", err)
			os.Exit(1)
		}
		return
	}
	trials := flag.Int("trials", 300, "kills for each writer")
	seed := flag.Int64("seed", 1, "seed of the random moments and contents")
	dir := flag.String("dir", defaultDir(), "directory to work in; what a kill leaves does not depend on the disk")
	flag.Parse()
	if err := run(os.Stdout, *trials, *seed, *dir); err != nil {
		fmt.Fprintln(os.Stderr, "crash:", err)
		os.Exit(1)
	}
}

// defaultDir is in memory if possible: a killed process loses nothing that it had written, so a
// disk would only make the trials slow.
func defaultDir() string {
	const memory = "/dev/shm"
	if info, err := os.Stat(memory); err == nil && info.IsDir() {
		return memory
	}
	return os.TempDir()
}

func run(out io.Writer, trials int, seed int64, dir string) error {
	if trials < 1 {
		return errors.New("-trials must be at least 1")
	}
	work, err := os.MkdirTemp(dir, "crash-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	started := time.Now()
	var results []result
	for _, w := range []string{berthWriter, inPlaceWriter} {
		r, err := drive(w, filepath.Join(work, w), trials, seed)
		if err != nil {
			return fmt.Errorf("%s: %w", w, err)
		}
		results = append(results, r)
	}
	table(out, results)
	fmt.Fprintf(out, "seed %d, %v\n", seed, time.Since(started).Round(time.Second))
	return checkLimits(results[0], results[1])
}

func table(out io.Writer, results []result) {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "writer\ttrials\tkills inside a write\tkinds of steps killed at\treads\ttorn reads\ttorn files after a kill\tleftover temps after the next apply\t")
	for _, r := range results {
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t\n", r.writer, r.trials, r.inside, len(r.steps), r.reads, r.tornReads, r.tornFiles, r.temps)
	}
	t.Flush()
	for _, r := range results {
		fmt.Fprintf(out, "%s was killed at: %s\n", r.writer, strings.Join(slices.Sorted(maps.Keys(r.steps)), ", "))
	}
}

// checkLimits returns the violated limits.
func checkLimits(berth, control result) error {
	var errs []error
	if berth.tornReads+berth.tornFiles+berth.temps > 0 {
		errs = append(errs, fmt.Errorf("%d torn reads, %d torn files, %d leftover temporary files; want none: %v",
			berth.tornReads, berth.tornFiles, berth.temps, berth.examples))
	}
	if berth.inside*4 < berth.trials {
		errs = append(errs, fmt.Errorf("only %d of %d kills landed inside a write: nothing was tried", berth.inside, berth.trials))
	}
	if control.tornReads == 0 {
		errs = append(errs, errors.New("the writer in place showed no torn read: the harness sees none"))
	}
	return errors.Join(errs...)
}
