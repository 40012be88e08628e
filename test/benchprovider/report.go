package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

// limit bounds the ratio of two medians.
type limit struct {
	what      string
	numerator role
	over      role
	// atMost or atLeast is set.
	atMost, atLeast float64
}

// limits are the promises of berth-credential-provider.
func limits() []limit {
	return []limit{
		{what: "with a token in its file, times the floor", numerator: berthWarm, over: floor, atMost: 1.75},
		{what: "times faster than ecr-credential-provider", numerator: ecrProvider, over: berthWarm, atLeast: 10},
		{what: "times faster than docker-credential-ecr-login with its cache", numerator: helperWarm, over: berthWarm, atLeast: 4},
		{what: "with nothing there yet, times ecr-credential-provider", numerator: berthCold, over: ecrProvider, atMost: 1},
		{what: "with the pod's own role, times ecr-credential-provider with it", numerator: berthPod, over: ecrPod, atMost: 1},
	}
}

// check returns a line about l, and whether it holds.
func (l limit) check(medians map[role]time.Duration) (string, bool) {
	ratio := float64(medians[l.numerator]) / float64(medians[l.over])
	bound, holds := fmt.Sprintf("at most %g", l.atMost), ratio <= l.atMost
	if l.atLeast > 0 {
		bound, holds = fmt.Sprintf("at least %g", l.atLeast), ratio >= l.atLeast
	}
	verdict := "holds"
	if !holds {
		verdict = "**missed**"
	}
	return fmt.Sprintf("- %.2f %s (%s): %s", ratio, l.what, bound, verdict), holds
}

// report writes the table and the limits. A missed limit is an error.
func report(w io.Writer, all []*contestant, heading string) error {
	var b strings.Builder
	b.WriteString(heading)
	b.WriteString("\n| | median | middle half | × floor | peak memory | binary |\n|---|---:|---:|---:|---:|---:|\n")
	medians := map[role]time.Duration{}
	for _, c := range all {
		medians[c.role] = quantile(c.times, 0.5)
	}
	for _, c := range slices.SortedFunc(slices.Values(all), func(a, b *contestant) int { return int(medians[a.role] - medians[b.role]) }) {
		row := c.row
		if c.version != "" {
			row = strings.Replace(row, c.name, c.name+" "+c.version, 1)
		}
		fmt.Fprintf(&b, "| %s | %s | %s–%s | %.1f | %.1f MiB | %.1f MB |\n", row,
			ms(medians[c.role]), ms(quantile(c.times, 0.25)), ms(quantile(c.times, 0.75)),
			float64(medians[c.role])/float64(medians[floor]), float64(c.peak)/(1<<10), float64(c.size)/1e6)
	}
	b.WriteByte('\n')
	var missed error
	for _, l := range limits() {
		line, holds := l.check(medians)
		fmt.Fprintln(&b, line)
		if !holds {
			missed = errors.New("a limit was missed")
		}
	}
	_, err := io.WriteString(w, b.String())
	return errors.Join(err, missed)
}

func ms(d time.Duration) string {
	return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
}

// quantile returns the value below which the fraction q of all is.
func quantile(all []time.Duration, q float64) time.Duration {
	sorted := slices.Sorted(slices.Values(all))
	at := q * float64(len(sorted)-1)
	low := int(at)
	high := min(low+1, len(sorted)-1)
	return sorted[low] + time.Duration((at-float64(low))*float64(sorted[high]-sorted[low]))
}

// machine describes the machine and the time of the measurement.
func machine(rounds int, before string, now time.Time) string {
	return fmt.Sprintf("`make bench-provider`, %s: %d rounds; %s; %d × %s; load average %s before, %s after.\n",
		now.UTC().Format(time.DateOnly), rounds, runtime.Version(), runtime.NumCPU(), processor(), before, loadAverage())
}

// processor names the CPU as Linux does.
func processor() string {
	f, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return "unknown processor"
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if name, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown processor"
}

// loadAverage is the load average of the last minute.
func loadAverage() string {
	b, err := os.ReadFile("/proc/loadavg")
	first, _, ok := strings.Cut(string(b), " ")
	if err != nil || !ok {
		return "unknown"
	}
	return first
}
