// Command tokensoak tests the token refresher for a thousand simulated years of random failures,
// runs nodes with three identities for one region for some years, and boots clusters of up to ten
// thousand nodes within one second against one account's quota. It prints the tables of
// docs/benchmarks.md, and fails if a rule was broken or a node was ready too late.
//
//	go run ./test/tokensoak -seeds 1000 -years 1 -seed 1
//	go run ./test/tokensoak -seeds 0 -nodes 100,1000,10000 -seed 1
//
// The controls are refreshers that break the rules; tokensoak fails if they pass.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"
)

type options struct {
	seeds    int
	several  int
	years    float64
	seed     uint64
	nodes    []int
	quota    float64
	burst    float64
	hours    float64
	progress bool
}

func main() {
	var o options
	flag.IntVar(&o.seeds, "seeds", 1000, "how many nodes live through the years, each with random events of its own; 0: none")
	flag.IntVar(&o.several, "identities", 4, "how many nodes with several identities live through a year; 0: none")
	flag.Float64Var(&o.years, "years", 1, "how long each lives")
	flag.Uint64Var(&o.seed, "seed", 1, "the first seed")
	nodes := flag.String("nodes", "100,1000,10000", "sizes of the clusters that boot; empty: none")
	flag.Float64Var(&o.quota, "quota", 200, "calls a second that AWS answers")
	flag.Float64Var(&o.burst, "burst", 200, "calls that it answers at once")
	flag.Float64Var(&o.hours, "hours", 24, "how long a cluster is watched after it has booted")
	flag.BoolVar(&o.progress, "progress", false, "tell on stderr how far it is")
	flag.Parse()
	for _, s := range strings.FieldsFunc(*nodes, func(c rune) bool { return c == ',' }) {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			fmt.Fprintf(os.Stderr, "tokensoak: -nodes: %q is no number of nodes\n", s)
			os.Exit(2)
		}
		o.nodes = append(o.nodes, n)
	}
	if o.seeds < 0 || o.several < 0 || o.years <= 0 || o.quota <= 0 || o.burst < 1 || o.hours < 0 {
		fmt.Fprintln(os.Stderr, "tokensoak: seeds, identities, hours: not negative; years, quota: positive; burst: at least 1")
		os.Exit(2)
	}
	// A bubble of testing/synctest needs a test around it. Main exits.
	testing.Main(
		func(string, string) (bool, error) { return true, nil },
		[]testing.InternalTest{{Name: "tokensoak", F: func(t *testing.T) { run(t, o, os.Stdout) }}},
		nil, nil,
	)
}

func run(t *testing.T, o options, out io.Writer) {
	debug.SetGCPercent(800) // it is much garbage and little memory
	begin := time.Now()
	var failures []string
	if o.seeds > 0 {
		failures = years(t, o, out)
	}
	if o.several > 0 {
		failures = append(failures, identities(t, o, out)...)
	}
	if len(o.nodes) > 0 {
		failures = append(failures, clusters(t, o, out)...)
	}
	fmt.Fprintf(out, "\nseed %d, %s, %s, %d processors, %s\n", o.seed, time.Since(begin).Round(time.Second),
		runtime.Version(), runtime.GOMAXPROCS(0), time.Now().UTC().Format(time.DateOnly))
	for _, f := range failures {
		t.Error(f)
	}
}
