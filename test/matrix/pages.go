package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// The pages that hold results. In compatibility.md everything is written by hand but what is between
// two comments:
//
//	<!-- state: containerd-2.1.9 -->run, 2026-11-30<!-- end -->
//	<!-- table: containerd -->…<!-- end -->
const (
	compatibilityPage = "docs/compatibility.md"
	formsPage         = "docs/matrix.md"
)

var generated = regexp.MustCompile(`(?s)<!-- (state|table): (\S+) -->.*?<!-- end -->`)

// writePages writes the results of the record into docs/compatibility.md below root.
func writePages(root string) error {
	rec, err := readRecord(filepath.Join(root, recordFile))
	if err != nil {
		return err
	}
	file := filepath.Join(root, compatibilityPage)
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	page, err := fill(string(text), cells(), rec)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return os.WriteFile(file, []byte(page), 0o644)
}

// fill returns the page with the results.
func fill(page string, all []cell, rec *record) (string, error) {
	var errs []error
	page = generated.ReplaceAllStringFunc(page, func(piece string) string {
		m := generated.FindStringSubmatch(piece)
		kind, name := m[1], m[2]
		var some []cell
		for _, c := range all {
			if c.name == name || strings.HasPrefix(c.name, name+"/") || kind == "table" && strings.HasPrefix(c.name, name+"-") {
				some = append(some, c)
			}
		}
		if len(some) == 0 {
			errs = append(errs, fmt.Errorf("%s: %s: no cell has such a name; see go run ./test/matrix -list", kind, name))
			return piece
		}
		text := stateOf(some, rec)
		if kind == "table" {
			text = "\n" + tableOf(some, rec)
		}
		return fmt.Sprintf("<!-- %s: %s -->%s<!-- end -->", kind, name, text)
	})
	return page, errors.Join(errs...)
}

// stateOf says in a few words what the record has of some cells.
func stateOf(some []cell, rec *record) string {
	var dates, bad, missing []string
	for _, c := range some {
		_, kind, _ := strings.Cut(c.name, "/")
		switch r, ok := rec.results[c.name]; {
		case !ok:
			missing = append(missing, kind)
		case r.Outcome != passed:
			bad = append(bad, kind)
		default:
			dates = append(dates, r.Date)
		}
	}
	var words []string
	if len(dates) > 0 {
		words = append(words, "run, "+slices.Min(dates))
	}
	if len(bad) > 0 {
		words = append(words, "**fails**: "+strings.Join(bad, ", "))
	}
	if len(missing) > 0 {
		words = append(words, "not run: "+strings.Join(missing, ", "))
	}
	return strings.Join(words, "; ")
}

// tableOf is a table with a line for each cell.
func tableOf(some []cell, rec *record) string {
	text := "| cell | result | date | time | found |\n|---|---|---|---:|---|\n"
	for _, c := range some {
		r, ok := rec.results[c.name]
		if !ok {
			text += fmt.Sprintf("| `%s` | not run | | | |\n", c.name)
			continue
		}
		outcome := r.Outcome
		if outcome != passed {
			outcome = "**" + outcome + "**"
		}
		found := strings.ReplaceAll(strings.Join(append(slices.Clone(r.Notes), r.Differs...), "; "), "|", `\|`)
		text += fmt.Sprintf("| `%s` | %s | %s | %d s | %s |\n", c.name, outcome, r.Date, r.Seconds, found)
	}
	return text
}

// unexplained returns the cells that failed and whose reason the page does not have: a line in it
// that begins with "- `CELL`: ".
func unexplained(page string, rec *record) []string {
	var names []string
	for name, r := range rec.results {
		if r.Outcome != passed && !strings.Contains(page, "\n- `"+name+"`: ") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// writeForms writes the column of a release into the table of docs/matrix.md below root.
func writeForms(root, version string, forms []form) error {
	file := filepath.Join(root, formsPage)
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	page, err := withColumn(string(text), version, forms)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return os.WriteFile(file, []byte(page), 0o644)
}

// withColumn returns the page with one column of its table replaced, or added at the end. The rows
// are the forms, in their order.
func withColumn(page, version string, forms []form) (string, error) {
	const start = "\n| form |"
	at := strings.Index(page, start)
	if at < 0 {
		return "", errors.New("the table that begins with | form | is missing")
	}
	before, rest := page[:at+1], page[at+1:]
	table, after, _ := strings.Cut(rest, "\n\n")
	old := map[string][]string{}
	var versions []string
	for i, line := range strings.Split(strings.TrimSpace(table), "\n") {
		row := strings.Split(strings.Trim(line, "| "), " | ")
		switch i {
		case 0:
			versions = row[1:]
		case 1:
		default:
			old[row[0]] = row[1:]
		}
	}
	column := slices.Index(versions, version)
	if column < 0 {
		column, versions = len(versions), append(versions, version)
	}
	table = "| form | " + strings.Join(versions, " | ") + " |\n|---|" + strings.Repeat("---|", len(versions)) + "\n"
	for _, f := range forms {
		row := make([]string, len(versions))
		for i := range row {
			row[i] = "–"
		}
		copy(row, old[f.name])
		row[column] = f.asked
		table += "| " + f.name + " | " + strings.Join(row, " | ") + " |\n"
	}
	return before + table + "\n" + after, nil
}
