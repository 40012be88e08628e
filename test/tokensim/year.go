package tokensim

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/berth-registry/berth/agent/tokens"
	"github.com/berth-registry/berth/credprovider/ecr"
)

// Report is the outcome of one trial.
type Report struct {
	Seed uint64
	Span time.Duration
	Counts
	Jumps, Restarts, Changes int
	MostEntries              int
	// OneAlone counts the looks at a region in which one identity had a token and another none.
	OneAlone int
	// MostGoroutines is how many more there were than at the start.
	MostGoroutines int
	LogLines       int
	// Broken counts the violations; Violations has the first of them.
	Broken     map[Rule]int
	Violations []string
}

// Verdict is nil when no rule was broken.
func (r Report) Verdict() error {
	if len(r.Broken) == 0 {
		return nil
	}
	return fmt.Errorf("seed %d: rules broken: %v, the first of them:\n%s", r.Seed, r.Broken, strings.Join(r.Violations, "\n"))
}

// Year runs a subject on one node for a time, with the random events of a seed, and reports the
// outcome. A control ends early, once it has broken enough rules. The seed decides AWS's states and
// the node's events; it does not decide the order of goroutines at one moment.
func Year(t *testing.T, seed uint64, span time.Duration, make Make) Report {
	y := &year{seed: seed, span: span, make: make}
	synctest.Test(t, y.run)
	return y.report
}

type year struct {
	seed   uint64
	span   time.Duration
	make   Make
	report Report

	rnd     *rand.Rand // what happens
	looks   *rand.Rand // when it is looked at
	node    *node
	checker *checker
	log     *logRule
	subject Subject
	source  *source
	want    []ecr.Registry
	calm    time.Time // since then only AWS's state has changed
	stop    func()
}

func (y *year) run(*testing.T) {
	y.rnd = rand.New(rand.NewPCG(y.seed, 1))
	y.looks = rand.New(rand.NewPCG(y.seed, 2))
	y.node = &node{seed: y.seed, regions: map[string]*region{}}
	y.checker = newChecker(y.node.wall)
	y.node.checker = y.checker
	y.log = &logRule{checker: y.checker, said: map[string]time.Time{}}
	y.source = &source{node: y.node}
	y.chooseWanted()
	goroutines := runtime.NumGoroutine()
	y.start()
	defer func() { y.stop() }()
	end := time.Now().Add(y.span)
	var edges []time.Time
	event := after(y.rnd, 12*time.Hour)
	check := after(y.looks, 4*time.Hour)
	for time.Now().Before(end) && !y.checker.lost() {
		next := check
		if event.Before(next) {
			next = event
		}
		for _, e := range edges {
			if e.Before(next) {
				next = e
			}
		}
		time.Sleep(time.Until(next))
		if !time.Now().Before(event) {
			y.disturb()
			event = after(y.rnd, 12*time.Hour)
		}
		edges = y.look()
		check = after(y.looks, 4*time.Hour)
		y.report.MostEntries = max(y.report.MostEntries, len(y.subject.Status()))
		y.report.MostGoroutines = max(y.report.MostGoroutines, runtime.NumGoroutine()-goroutines)
	}
	y.checker.mu.Lock()
	defer y.checker.mu.Unlock()
	if y.report.MostEntries > mostEntries {
		y.checker.violation(RuleGrowth, "%d regions at once", y.report.MostEntries)
	}
	y.report.Seed, y.report.Span = y.seed, y.span
	y.report.Counts = y.checker.counts
	y.report.Broken, y.report.Violations = y.checker.broken, y.checker.violations
	y.report.LogLines = y.log.lines
}

// mostWanted is the number of wanted tokens, mostEntries plus as many as may be adopted.
const (
	mostWanted  = 6
	mostEntries = mostWanted + 16
)

// after draws a moment from now on.
func after(rnd *rand.Rand, mean time.Duration) time.Time {
	return time.Now().Add(1 + time.Duration(rnd.ExpFloat64()*float64(mean)))
}

func (y *year) start() {
	draws := rand.New(rand.NewPCG(y.seed, y.rnd.Uint64()))
	y.subject = y.make(tokens.Options{
		Log:     slog.New(y.log),
		Now:     y.node.wall,
		Changed: y.checker.changed,
		Rand: func() float64 {
			x := draws.Float64()
			y.checker.drew(x)
			return x
		},
	})
	y.checker.subject = y.subject.Token
	y.subject.Set(y.source, y.want)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := y.subject.Run(ctx); err != nil {
			y.checker.mu.Lock()
			defer y.checker.mu.Unlock()
			y.checker.violation(RuleService, "Run: %v", err)
		}
	})
	y.stop = func() {
		cancel()
		wg.Wait()
	}
	y.calm = time.Now()
}

// place draws one of the registries.
func (y *year) place() ecr.Registry {
	if y.rnd.IntN(8) == 0 {
		r, _ := ecr.ParseHost("public.ecr.aws")
		return r
	}
	host := fmt.Sprintf("111122223333.dkr.ecr.us-east-%d.amazonaws.com", 1+y.rnd.IntN(8))
	r, _ := ecr.ParseHost(host)
	return y.withChain(r)
}

// withChain gives r an identity of its own, half of the times: it is another account's registry
// then.
func (y *year) withChain(r ecr.Registry) ecr.Registry {
	n := y.rnd.IntN(4)
	if r.Public || n > 1 {
		return r
	}
	r, _ = ecr.ParseHost(fmt.Sprintf("44445555666%d.dkr.ecr.%s.amazonaws.com", n, r.Region))
	r.Chain = r.Host
	return r
}

// chooseWanted draws the wanted registries, half of them with another one in the same region.
func (y *year) chooseWanted() {
	y.want = nil
	for range mostWanted/2 - y.rnd.IntN(3) {
		r := y.place()
		y.want = append(y.want, r)
		if y.rnd.IntN(2) == 0 {
			y.want = append(y.want, y.withChain(r))
		}
	}
}

// disturb draws an event on the node other than AWS's state.
func (y *year) disturb() {
	switch n := y.rnd.IntN(100); {
	case n < 20:
		y.node.other(y.want[0])
		y.subject.Rescan()
		return
	case n < 35:
		y.node.other(y.place())
		return
	case n < 60:
		y.node.putClock(y.jump())
		y.report.Jumps++
	case n < 65:
		y.node.forget()
	case n < 75:
		y.node.mu.Lock()
		y.node.full = !y.node.full
		y.node.mu.Unlock()
	case n < 85:
		y.source = &source{node: y.node, name: y.source.name + 1}
		y.checker.newCredentials()
		y.checker.forgot(y.want)
		y.log.forget()
		y.subject.Set(y.source, y.want)
		y.report.Changes++
	case n < 95:
		before := y.want
		y.chooseWanted()
		y.checker.newCredentials()
		y.checker.forgot(slices.DeleteFunc(slices.Clone(y.want), func(r ecr.Registry) bool { return !slices.Contains(before, r) }))
		y.log.forget()
		y.subject.Set(y.source, y.want)
	default:
		y.stop()
		y.checker.newCredentials()
		y.checker.forgot(nil)
		y.log.forget()
		y.start()
		y.report.Restarts++
	}
	y.calm = time.Now()
}

// jump draws how far the wall clock is moved.
func (y *year) jump() time.Duration {
	by := [...]time.Duration{time.Second, 50 * time.Second, 3 * time.Minute, time.Hour, 7 * time.Hour, 13 * time.Hour, 60 * 24 * time.Hour}[y.rnd.IntN(7)]
	by = time.Duration(y.rnd.Int64N(int64(by)))
	if y.rnd.IntN(2) == 0 {
		return -by
	}
	return by
}

// settled is the longest time until there is a token once AWS issues them: the longest pause and
// the longest Retry-After, and a margin.
const settled = 11 * time.Minute

// look checks all wanted tokens, and returns the moments at which to look again.
func (y *year) look() []time.Time {
	var edges []time.Time
	has := map[string][2]bool{} // by region: a registry without a token, one with
	for _, r := range y.want {
		served, more := y.checker.look(r)
		edges = append(edges, more...)
		without, with := has[r.Region][0] || !served, has[r.Region][1] || served
		has[r.Region] = [2]bool{without, with}
		y.node.mu.Lock()
		s := y.node.at(r).phase
		y.node.mu.Unlock()
		since := s.since
		if y.calm.After(since) {
			since = y.calm
		}
		if !served && s.kind == fair && s.life > 10*time.Second && time.Since(since) > settled {
			y.checker.mu.Lock()
			y.checker.violation(RuleService, "%s: no token, although AWS has issued them for %s", keyOf(r), time.Since(since))
			y.checker.mu.Unlock()
		}
	}
	for _, h := range has {
		if h[0] && h[1] {
			y.report.OneAlone++
		}
	}
	now := time.Now()
	return slices.DeleteFunc(edges, func(e time.Time) bool { return !e.After(now) })
}
