package main

import (
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/berth-registry/berth/test/tokensim"
)

// identities runs nodes with three identities for one region and the real token files, each for a
// year, and a control. It returns the violations.
func identities(t *testing.T, o options, out io.Writer) []string {
	fmt.Fprintf(out, "\n| token files | seeds | simulated | calls | failed | tokens of each identity | headers | answers | files | failures of some alone | of another identity | missing |\n")
	fmt.Fprintf(out, "|---|---:|---:|---:|---:|---|---:|---:|---:|---:|---:|---:|\n")
	var failures []string
	row := func(name string, seeds int, span time.Duration, byRegion bool) tokensim.IdentityReport {
		var all tokensim.IdentityReport
		for seed := range uint64(seeds) {
			r := tokensim.Identities(t, tokensim.IdentityOptions{Seed: o.seed + seed, Span: span, Dir: t.TempDir(), FilesByRegion: byRegion})
			for i := range r.Calls {
				all.Calls[i] += r.Calls[i]
				all.Failures[i] += r.Failures[i]
				all.Tokens[i] += r.Tokens[i]
			}
			all.Headers, all.Answers, all.Files = all.Headers+r.Headers, all.Answers+r.Answers, all.Files+r.Files
			all.Alone, all.Mixed, all.Late = all.Alone+r.Alone, all.Mixed+r.Mixed, all.Late+r.Late
			if err := r.Verdict(); err != nil && !byRegion {
				failures = append(failures, err.Error())
			}
		}
		each := ""
		for i, n := range all.Tokens {
			if i > 0 {
				each += ", "
			}
			each += count(n)
		}
		fmt.Fprintf(out, "| %s | %s | %d days | %s | %s | %s | %s | %s | %s | %s | %s | %s |\n", name, count(seeds), seeds*int(span/(24*time.Hour)),
			count(sum(all.Calls[:])), count(sum(all.Failures[:])), each, count(all.Headers), count(all.Answers), count(all.Files),
			count(all.Alone), count(all.Mixed), count(all.Late))
		return all
	}
	all := row("**berth**", o.several, 365*24*time.Hour, false)
	for i, n := range all.Tokens {
		if n == 0 || all.Failures[i] == 0 || all.Alone == 0 {
			failures = append(failures, fmt.Sprintf("identity %d: %d tokens, %d failures: nothing was tried", i, n, all.Failures[i]))
		}
	}
	if row("by region alone (a control)", 1, 10*24*time.Hour, true).Mixed == 0 {
		failures = append(failures, "files that do not tell identities apart were not noticed")
	}
	return failures
}

func sum(all []int) int {
	n := 0
	for _, x := range all {
		n += x
	}
	return n
}
