package config

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// bombs returns small documents that expand to large ones, and large ones that consist of one
// construct. The race detector gets smaller ones, because it is ten times slower.
func bombs() map[string]string {
	var laughs strings.Builder
	laughs.WriteString("mirrors: &m0 [{upstream: a.corp}]\n")
	for i := range 40 {
		fmt.Fprintf(&laughs, "m%d: &m%d [%s]\n", i+1, i+1, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*m%d,", i), 10), ","))
	}
	endpoints := "- upstream: a.corp\n  endpoints: &e\n  - &one {url: b.corp, capabilities: &c [" + strings.TrimSuffix(strings.Repeat("pull,", 500), ",") + "]}\n" +
		strings.Repeat("  - *one\n", 500)
	merges := "m0: &m0 {a0: 1}\n"
	for i := range 200 {
		merges += fmt.Sprintf("m%d: &m%d {<<: [*m%d, *m%d, *m%d], a%d: 1}\n", i+1, i+1, i, i, i, i+1)
	}
	return map[string]string{
		"billion laughs":   laughs.String() + "registries: *m40\n",
		"endpoints":        "mirrors:\n" + endpoints + strings.Repeat("- {upstream: c.corp, endpoints: *e}\n", 500),
		"items":            "mirrors: [&a {upstream: a.corp}" + strings.Repeat(", *a", 200_000/raceFactor) + "]\n",
		"merges":           merges + "health: {<<: *m200}\n",
		"merged headers":   mergedHeaders(),
		"keys":             strings.Repeat("a: 1\n", 200_000/raceFactor),
		"items, written":   "mirrors: [" + strings.Repeat("a,", 500_000/raceFactor) + "]\n",
		"one long name":    strings.Repeat("a", 1_000_000/raceFactor) + ": 1\n",
		"one long value":   "dockerConfigFile: " + strings.Repeat("é", 500_000) + "\n",
		"deep":             "mirrors: " + strings.Repeat("- ", 9_000) + "a\n",
		"unclosed":         "mirrors: [" + strings.Repeat("{a: [", 200) + "\n" + strings.Repeat("# x\n", 10_000),
		"syntax at end":    strings.Repeat("a: [1, 2,\n  3]\n", 4_000/raceFactor) + "b: @\n",
		"many long values": "mirrors:\n" + strings.Repeat("- upstream: "+strings.Repeat("..", 400)+"\n", 1_200),
	}
}

// mergedHeaders merges a mapping of many headers into many endpoints.
func mergedHeaders() string {
	var b strings.Builder
	b.WriteString("mirrors:\n- upstream: a.corp\n  endpoints:\n  - url: a.corp\n    headers: &h\n")
	for i := range 2_000 / raceFactor {
		fmt.Fprintf(&b, "      X-%d: [a]\n", i)
	}
	for i := range 10_000 / raceFactor {
		fmt.Fprintf(&b, "  - {url: h%d.corp, headers: {<<: *h}}\n", i)
	}
	return b.String()
}

// TestBombs checks that no such document takes a second of CPU time or much memory.
func TestBombs(t *testing.T) {
	const most = 400 << 20 // bytes allocated in total, for up to 1 MiB of input
	for name, body := range bombs() {
		t.Run(name, func(t *testing.T) {
			// The CPU time is that of a thread, and t.Run starts a goroutine.
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			start := cpuTime(t)
			_, _, err := Parse("config.yaml", []byte(head+body))
			took := cpuTime(t) - start
			runtime.ReadMemStats(&after)
			if err == nil {
				t.Error("the bomb is accepted")
			}
			if took > time.Second*raceFactor {
				t.Errorf("takes %v", took)
			}
			if used := after.TotalAlloc - before.TotalAlloc; used > most {
				t.Errorf("allocates %d MiB", used>>20)
			}
		})
	}
}

// cpuTime returns the CPU time of this thread, so that load on the machine does not count.
func cpuTime(t *testing.T) time.Duration {
	t.Helper()
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_THREAD, &usage); err != nil {
		t.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// TestAliasBudget checks that the budget for aliases is what refuses, and that ordinary files stay
// far below it.
func TestAliasBudget(t *testing.T) {
	_, _, err := Parse("config.yaml", []byte(head+bombs()["endpoints"]))
	if err == nil || !strings.Contains(err.Error(), "expand to more than 20000 values; write the values out") {
		t.Errorf("got %v", err)
	}
	document := head + "mirrors:\n- upstream: a.corp\n  endpoints: &e [{url: b.corp, capabilities: [pull]}, {url: c.corp}]\n"
	for i := range 1000 {
		document += fmt.Sprintf("- {upstream: r%d.corp, endpoints: *e}\n", i)
	}
	cfg, _, err := Parse("config.yaml", []byte(document))
	if err != nil || len(cfg.Mirrors) != 1001 || len(cfg.Mirrors[1000].Endpoints) != 2 {
		t.Errorf("a shared list of endpoints is refused: %v", err)
	}
}
