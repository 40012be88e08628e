package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
)

// The outcomes of a cell.
const (
	passed = "passed"
	failed = "FAILED"
)

// result is one line of the record.
type result struct {
	Cell    string   `json:"cell"`
	Outcome string   `json:"outcome"`
	Date    string   `json:"date"` // UTC
	Seconds int      `json:"seconds"`
	Commit  string   `json:"commit"`
	State   string   `json:"state,omitempty"` // hash of the code; empty if it was not committed
	Notes   []string `json:"notes,omitempty"`
	Differs []string `json:"differs,omitempty"` // the tests that failed
}

func (r result) fail(differs ...string) result {
	r.Outcome, r.Differs = failed, differs
	return r
}

// record has the last result of each cell.
type record struct {
	file    string
	results map[string]result
}

// readRecord reads the record; a missing file is an empty one.
func readRecord(file string) (*record, error) {
	rec := &record{file: file, results: map[string]result{}}
	raw, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return rec, nil
	}
	if err != nil {
		return nil, err
	}
	number := 0
	for line := range bytes.Lines(raw) {
		number++
		var r result
		if err := json.Unmarshal(line, &r); err != nil || r.Cell == "" {
			return nil, fmt.Errorf("%s:%d: not a result of a cell; remove the line and run the cell again: %w", file, number, err)
		}
		rec.results[r.Cell] = r
	}
	return rec, nil
}

// write writes the record, sorted by cell, so that a cell is one line of a diff.
func (rec *record) write() error {
	var text bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(rec.results)) {
		line, err := json.Marshal(rec.results[name])
		if err != nil {
			return err
		}
		text.Write(append(line, '\n'))
	}
	half := rec.file + ".new"
	return errors.Join(os.WriteFile(half, text.Bytes(), 0o644), os.Rename(half, rec.file))
}

// passed reports whether the cell has passed with this code.
func (rec *record) passed(cell string, now state) bool {
	r := rec.results[cell]
	return r.Outcome == passed && now.Hash != "" && r.State == now.Hash
}

// state identifies the code that runs.
type state struct {
	Commit string
	// Hash is the hash of all committed files but pages and the record, so that a commit of results
	// is no change; "" if a file is not committed.
	Hash string
}

func currentState(ctx context.Context) (state, error) {
	code := []string{"--", ".", ":!*.md", ":!" + recordFile}
	commit, err := git(ctx, "rev-parse", "--short=10", "HEAD")
	if err != nil {
		return state{}, err
	}
	changed, err := git(ctx, append([]string{"status", "--porcelain"}, code...)...)
	if err != nil {
		return state{}, err
	}
	if changed != "" {
		return state{Commit: commit + "-dirty"}, nil
	}
	files, err := git(ctx, append([]string{"ls-files", "--stage"}, code...)...)
	if err != nil {
		return state{}, err
	}
	return state{Commit: commit, Hash: fmt.Sprintf("%x", sha256.Sum256([]byte(files)))[:12]}, nil
}

func git(ctx context.Context, args ...string) (string, error) {
	var stderr strings.Builder
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("git %s: %w: %s", args[0], err, strings.TrimSpace(stderr.String()))
	}
	return strings.TrimSpace(string(out)), nil
}

// What a cell prints on lines of their own: notes for the record, and a form of foreign file with
// the hosts that were asked.
var (
	noteLine = regexp.MustCompile(`(?m)^\s*(?:\S+_test\.go:\d+: )?matrix: (.+)$`)
	formLine = regexp.MustCompile(`(?m)^form: (\S+): (.+)$`)
	failLine = regexp.MustCompile(`(?m)^\s*--- FAIL: (\S+)`)
	badLine  = regexp.MustCompile(`(?m)^(?:\s*--- SKIP: .*|.*no tests to run.*|panic: .*|WARNING: DATA RACE.*|foreignforms: .*)$`)
)

func notesIn(log string) []string {
	var notes []string
	for _, m := range noteLine.FindAllStringSubmatch(log, -1) {
		notes = append(notes, m[1])
	}
	return notes
}

// failuresIn returns the tests that failed, without those that failed because a part of them did;
// a test that was skipped is a failure, too.
func failuresIn(log string) []string {
	var names []string
	for _, m := range failLine.FindAllStringSubmatch(log, -1) {
		names = append(names, m[1])
	}
	var found []string
	for _, name := range names {
		if !slices.ContainsFunc(names, func(other string) bool { return strings.HasPrefix(other, name+"/") }) {
			found = append(found, name)
		}
	}
	for _, line := range badLine.FindAllString(log, -1) {
		found = append(found, strings.TrimSpace(line))
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// form is a form of foreign file and the hosts that were asked.
type form struct{ name, asked string }

func formsIn(log string) []form {
	var forms []form
	for _, m := range formLine.FindAllStringSubmatch(log, -1) {
		forms = append(forms, form{m[1], m[2]})
	}
	return forms
}
