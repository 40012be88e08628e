package main

import (
	"io"
	"strings"
	"testing"
	"time"
)

// TestLimits: each limit can be kept and missed.
func TestLimits(t *testing.T) {
	for _, l := range limits() {
		for _, c := range []struct {
			numerator time.Duration
			atMost    bool // whether a ratio this small or large keeps an upper bound
		}{{time.Millisecond, true}, {time.Hour, false}} {
			line, holds := l.check(map[role]time.Duration{l.numerator: c.numerator, l.over: time.Second})
			want := c.atMost == (l.atMost > 0)
			if holds != want || strings.Contains(line, "missed") == want {
				t.Errorf("%s: holds %v, want %v", line, holds, want)
			}
		}
	}
}

func TestQuantile(t *testing.T) {
	all := []time.Duration{40, 10, 30, 20}
	for q, want := range map[float64]time.Duration{0: 10, 0.5: 25, 1: 40} {
		if got := quantile(all, q); got != want {
			t.Errorf("quantile %g is %d, want %d", q, got, want)
		}
	}
}

func TestTooFewRounds(t *testing.T) {
	if err := run(t.Context(), minRounds-1, io.Discard, io.Discard); err == nil {
		t.Error("a median of too few rounds is accepted")
	}
}

// TestMeasures runs our own programs a few times, without any limit on time, and checks that a
// contestant in the wrong situation is an error.
func TestMeasures(t *testing.T) {
	dir := t.TempDir()
	p, err := buildOurs(t.Context(), "../..", dir)
	if err != nil {
		t.Fatal(err)
	}
	aws, err := startAWS()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := aws.Close(); err != nil {
			t.Error(err)
		}
	})
	b := &bench{aws: aws, peak: p.peak.path}
	for _, c := range contestants(p, aws, dir) {
		if c.path != "" { // one of ours
			b.contestants = append(b.contestants, c)
		}
	}
	if len(b.contestants) != 4 {
		t.Fatalf("%d contestants are ours", len(b.contestants))
	}
	if err := b.warmUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := b.time(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	if err := b.memory(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, c := range b.contestants {
		if len(c.times) != 2 || c.times[0] <= 0 || c.peak <= 0 || c.size <= 0 {
			t.Errorf("%s: %v, %d KiB, %d bytes", c.row, c.times, c.peak, c.size)
		}
		c.ecrCalls = 1 - c.ecrCalls
	}
	if err := b.time(t.Context(), 1); err == nil {
		t.Error("a wrong number of calls of ECR is accepted")
	}
	b.contestants[0].stdin = strings.ReplaceAll(request, host, "docker.io")
	if err := b.warmUp(t.Context()); err == nil {
		t.Error("an answer without a token is accepted")
	}
}
