// Command matrix runs what docs/compatibility.md states: each cell is one program in one version
// with one kind of test. The result of a cell is written to record.jsonl at once, so that a run
// that was stopped goes on where it was. A cell that has passed is run again only after a change of
// the code.
//
//	go run ./test/matrix                            every cell that has not passed in this state
//	go run ./test/matrix -run containerd-2.1.9/     those cells alone: a regular expression
//	go run ./test/matrix -again                     also those that have passed
//	go run ./test/matrix -list                      the cells and their results; runs nothing
//	go run ./test/matrix -write                     the pages from the record; runs nothing
//
// It ends with 1 if a cell fails. It needs root and Debian 12, and runs in the directory of go.mod.
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
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"
)

// The files that a run writes.
const (
	recordFile = "test/matrix/record.jsonl"
	logDir     = "bin/matrix"
)

func main() {
	var o options
	pattern := flag.String("run", "", "only cells whose name matches this regular expression")
	flag.BoolVar(&o.again, "again", false, "also run cells that have passed in this state of the code")
	flag.IntVar(&o.jobs, "jobs", 1, "cells that run at the same time")
	list := flag.Bool("list", false, "print the cells and their results, and run nothing")
	write := flag.Bool("write", false, "write the pages from the record, and run nothing")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	if o.selected, err = regexp.Compile(*pattern); err == nil {
		switch {
		case *write:
			err = writePages(".")
		case *list:
			err = printCells(ctx, os.Stdout, o)
		default:
			err = runMatrix(ctx, os.Stdout, o)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "matrix:", err)
		stop()
		os.Exit(1)
	}
}

type options struct {
	selected *regexp.Regexp
	again    bool
	jobs     int
}

// choose returns the selected cells, and of them those that have to run.
func (o options) choose(all []cell, rec *record, now state) (selected, due []cell, err error) {
	for _, c := range all {
		if o.selected != nil && !o.selected.MatchString(c.name) {
			continue
		}
		selected = append(selected, c)
		if o.again || !rec.passed(c.name, now) {
			due = append(due, c)
		}
	}
	if len(selected) == 0 {
		return nil, nil, fmt.Errorf("-run %q: no cell has such a name; see -list", o.selected)
	}
	return selected, due, nil
}

func printCells(ctx context.Context, out io.Writer, o options) error {
	rec, err := readRecord(recordFile)
	if err != nil {
		return err
	}
	now, err := currentState(ctx)
	if err != nil {
		return err
	}
	selected, _, err := o.choose(cells(), rec, now)
	for _, c := range selected {
		r, ok := rec.results[c.name]
		switch {
		case !ok:
			fmt.Fprintf(out, "%s: not run\n", c.name)
		case rec.passed(c.name, now):
			fmt.Fprintf(out, "%s: %s on %s, in this state\n", c.name, r.Outcome, r.Date)
		default:
			fmt.Fprintf(out, "%s: %s on %s, commit %s\n", c.name, r.Outcome, r.Date, r.Commit)
		}
	}
	return err
}

func runMatrix(ctx context.Context, out io.Writer, o options) error {
	rec, err := readRecord(recordFile)
	if err != nil {
		return err
	}
	now, err := currentState(ctx)
	if err != nil {
		return err
	}
	selected, due, err := o.choose(cells(), rec, now)
	if err != nil {
		return err
	}
	if err := prerequisites(due); err != nil {
		return err
	}
	if len(due) > 0 {
		if err := execute(ctx, os.Stderr, os.Environ(), "make", "build"); err != nil {
			return err
		}
	}
	fmt.Fprintf(out, "%d cells, of which %d have passed in this state (%s)\n", len(selected), len(selected)-len(due), now.Commit)
	m := &matrix{out: out, record: rec, state: now, total: len(due)}
	m.run(ctx, due, max(1, o.jobs))
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("stopped; the same command goes on with the cells that are left: %w", err)
	}
	if err := writePages("."); err != nil {
		return err
	}
	var bad []string
	for _, c := range selected {
		if r := rec.results[c.name]; r.Outcome != passed {
			bad = append(bad, c.name)
		}
	}
	if len(bad) > 0 || m.err != nil {
		return errors.Join(m.err, fmt.Errorf("%d of %d cells failed: %s", len(bad), len(selected), strings.Join(bad, ", ")))
	}
	fmt.Fprintf(out, "%d cells passed\n", len(selected))
	return nil
}

// matrix is one run.
type matrix struct {
	out   io.Writer
	state state
	total int

	mu     sync.Mutex // of all that follows
	record *record
	done   int
	err    error
}

// run runs the cells in order, some at the same time, and of kubelet one at a time: it changes
// settings of the machine.
func (m *matrix) run(ctx context.Context, due []cell, jobs int) {
	queue := make(chan cell)
	var kubelets sync.Mutex
	var wait sync.WaitGroup
	for range jobs {
		wait.Go(func() {
			for c := range queue {
				if c.alone {
					kubelets.Lock()
				}
				r, log := runCell(ctx, c)
				if c.alone {
					kubelets.Unlock()
				}
				if ctx.Err() == nil {
					m.finish(c, r, log)
				}
			}
		})
	}
	for _, c := range due {
		select {
		case queue <- c:
		case <-ctx.Done():
		}
	}
	close(queue)
	wait.Wait()
}

// finish writes the result of a cell.
func (m *matrix) finish(c cell, r result, log string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.done++
	r.Commit, r.State = m.state.Commit, m.state.Hash
	m.record.results[c.name] = r
	m.err = errors.Join(m.err, m.record.write())
	if forms := formsIn(log); len(forms) > 0 && r.Outcome == passed {
		m.err = errors.Join(m.err, writeForms(".", c.version(), forms))
	}
	fmt.Fprintf(m.out, "[%d/%d] %s: %s in %d s\n", m.done, m.total, c.name, r.Outcome, r.Seconds)
	if r.Outcome != passed {
		fmt.Fprintf(m.out, "  %s\n  the whole log: %s\n", strings.Join(r.Differs, "\n  "), c.logFile())
	}
}

// runCell runs one cell and returns its result and its log.
func runCell(ctx context.Context, c cell) (result, string) {
	r := result{Cell: c.name, Outcome: passed, Date: time.Now().UTC().Format(time.DateOnly)}
	if err := os.MkdirAll(logDir, 0o755); err != nil {
		return r.fail(err.Error()), ""
	}
	log, err := os.Create(c.logFile())
	if err != nil {
		return r.fail(err.Error()), ""
	}
	defer log.Close()
	env := append(os.Environ(), c.env...)
	for _, step := range c.build {
		if err := execute(ctx, log, env, "bash", "-c", step); err != nil {
			return r.fail("build: " + err.Error()), ""
		}
	}
	began := time.Now()
	failure := execute(ctx, log, env, "bash", "-c", c.run)
	r.Seconds = int(time.Since(began).Round(time.Second).Seconds())
	raw, err := os.ReadFile(c.logFile())
	if err != nil {
		return r.fail(err.Error()), ""
	}
	r.Notes = notesIn(string(raw))
	if found := failuresIn(string(raw)); failure != nil || len(found) > 0 {
		if len(found) == 0 {
			found = []string{failure.Error()}
		}
		r = r.fail(found...)
	}
	return r, string(raw)
}

// execute runs a command that ends with ctx, and then has some time to remove its files.
func execute(ctx context.Context, log io.Writer, env []string, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = env, log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = time.Minute
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w", strings.Join(append([]string{name}, args...), " "), err)
	}
	return nil
}
