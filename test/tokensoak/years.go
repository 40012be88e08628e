package main

import (
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/berth-registry/berth/test/tokensim"
)

// maxHeapGrowth is how much more memory may be in use after the last year than after the first
// ones, in bytes.
const maxHeapGrowth = 4 << 20

// years tests the refresher and a control, and returns the violations.
func years(t *testing.T, o options, out io.Writer) []string {
	span := time.Duration(o.years * float64(365*24*time.Hour))
	fmt.Fprintf(out, "| keeper | seeds | simulated | calls | failed | looks at a token | clock jumps | restarts | most regions | most calls at once | rules broken |\n")
	fmt.Fprintf(out, "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---|\n")
	berth := live(t, "berth", tokensim.Berth, o, o.seeds, span)
	berth.row(out, "berth")
	control := live(t, "naive", tokensim.Naive, o, 1, span)
	control.row(out, "naive (a control, ended early)")
	failures := berth.failures
	if berth.heapGrowth > maxHeapGrowth {
		failures = append(failures, fmt.Sprintf("memory has grown by %d bytes over %d years", berth.heapGrowth, o.seeds))
	}
	for _, rule := range []tokensim.Rule{tokensim.RuleExpiry, tokensim.RuleMargin, tokensim.RuleBackoff} {
		if control.broken[rule] == 0 {
			failures = append(failures, fmt.Sprintf("the naive keeper kept the rule of %s: nothing would be seen", rule))
		}
	}
	fmt.Fprintf(out, "\nMemory in use after the first %d years and at the end: %d KiB apart.\n", settle, berth.heapGrowth>>10)
	return failures
}

// settle is the number of lives after which memory is measured first.
const settle = 4

// total sums up the outcomes of many lives.
type total struct {
	mu                           sync.Mutex
	next, done                   int
	years                        float64 // a thousand of them do not fit into a time.Duration
	counts                       tokensim.Counts
	jumps, restarts, mostEntries int
	broken                       map[tokensim.Rule]int
	failures                     []string
	heap                         uint64
	heapGrowth                   int64
}

func live(t *testing.T, name string, make tokensim.Make, o options, seeds int, span time.Duration) *total {
	all := &total{broken: map[tokensim.Rule]int{}}
	t.Run(name, func(t *testing.T) {
		for worker := range min(seeds, runtime.GOMAXPROCS(0)) {
			t.Run(fmt.Sprint(worker), func(t *testing.T) {
				t.Parallel()
				for {
					seed, ok := all.take(o, seeds)
					if !ok {
						return
					}
					all.add(tokensim.Year(t, seed, span, make), o)
				}
			})
		}
	})
	all.heapGrowth = int64(heapInUse()) - int64(all.heap)
	return all
}

func (a *total) take(o options, seeds int) (uint64, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.next++
	return o.seed + uint64(a.next-1), a.next <= seeds
}

func (a *total) add(r tokensim.Report, o options) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.done++
	a.years += r.Span.Hours() / (365 * 24)
	a.counts.Calls += r.Calls
	a.counts.Failures += r.Failures
	a.counts.Checks += r.Checks
	a.counts.MostInFlight = max(a.counts.MostInFlight, r.MostInFlight)
	a.jumps += r.Jumps
	a.restarts += r.Restarts
	a.mostEntries = max(a.mostEntries, r.MostEntries)
	for rule, n := range r.Broken {
		a.broken[rule] += n
	}
	if err := r.Verdict(); err != nil && len(a.failures) < 10 {
		a.failures = append(a.failures, err.Error())
		if o.progress {
			fmt.Fprintln(os.Stderr, err)
		}
	}
	if a.done == settle {
		a.heap = heapInUse()
	}
	if o.progress && a.done%10 == 0 {
		fmt.Fprintf(os.Stderr, "%d years, %d calls, broken: %v\n", a.done, a.counts.Calls, a.broken)
	}
}

func heapInUse() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func (a *total) row(out io.Writer, name string) {
	broken := "none"
	if len(a.broken) > 0 {
		broken = fmt.Sprint(a.broken)[len("map"):]
	}
	fmt.Fprintf(out, "| %s | %s | %s years | %s | %s | %s | %s | %s | %d | %d | %s |\n", name, count(a.done), count(int(math.Round(a.years))),
		count(a.counts.Calls), count(a.counts.Failures), count(a.counts.Checks), count(a.jumps), count(a.restarts), a.mostEntries, a.counts.MostInFlight, broken)
}

// count formats a number for people.
func count(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
