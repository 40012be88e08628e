package tokensim

import (
	"runtime"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// One goroutine at a time: the race detector of Go 1.26 crashes when two goroutines of a synctest
// bubble take an expired timer at the same moment, because the runtime has one race context for all
// timers of a bubble (unlockAndRun in time.go).
func TestMain(m *testing.M) {
	runtime.GOMAXPROCS(1)
	goleak.VerifyTestMain(m)
}

// The extent of a test; test/tokensoak runs a thousand years.
const (
	trySeeds = 10
	tryDays  = 10
	day      = 24 * time.Hour
)

// TestYear: no rule is broken, whatever AWS, the clock and other processes do.
func TestYear(t *testing.T) {
	var all Counts
	alone := 0
	for seed := range uint64(trySeeds) {
		r := Year(t, seed, tryDays*day, Berth)
		if err := r.Verdict(); err != nil {
			t.Error(err)
		}
		all.Failures += r.Failures
		all.Renewals += r.Renewals
		all.Served += r.Served
		alone += r.OneAlone
	}
	if all.Failures < 100 || all.Renewals < 100 || all.Served < 1000 || alone == 0 {
		t.Errorf("nothing was tried: %+v, one identity alone had a token %d times", all, alone)
	}
}

// TestYearNotices: the rules find a refresher that breaks them, each of them.
func TestYearNotices(t *testing.T) {
	r := Year(t, 1, 60*day, Naive)
	if err := r.Verdict(); err == nil {
		t.Fatal("the naive keeper passes")
	}
	for _, rule := range []Rule{RuleExpiry, RuleMargin, RuleBackoff} {
		if r.Broken[rule] == 0 {
			t.Errorf("the naive keeper keeps the rule of %s: %v", rule, r.Violations)
		}
	}
	// One that never asks keeps all those.
	r = Year(t, 1, 60*day, Idle)
	if r.Broken[RuleService] == 0 || len(r.Broken) != 1 {
		t.Errorf("a keeper that does nothing: %v", r.Violations)
	}
	// One whose files do not tell identities apart.
	r = Year(t, 1, 60*day, SharedFiles)
	if r.Broken[RuleIdentity] == 0 {
		t.Errorf("tokens of other identities are served: %v", r.Violations)
	}
	// One that logs everything each time.
	r = Year(t, 1, 60*day, Chatty)
	if r.Broken[RuleLog] == 0 || len(r.Broken) != 1 {
		t.Errorf("a keeper that logs each attempt: %v", r.Violations)
	}
}
