package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/berth-registry/berth/test/gobuild"
	"github.com/berth-registry/berth/test/images/real"
	"github.com/berth-registry/berth/test/images/trial"
)

// contestant is one way to copy the set.
type contestant struct {
	row    string
	ours   bool
	beside bool // another version of berth
	args   func(target string) []string
	times  []time.Duration
	peak   int // KiB, of the largest process
}

// speed makes all contestants copy the set to empty registries, in random order in each round, and
// prints a table. It returns an error if berth is slower than the fastest of the others.
func speed(ctx context.Context, fixture *trial.Fixture, s settings, dir string, out, progress io.Writer) error {
	peak := filepath.Join(dir, "peak")
	if err := gobuild.Programs(ctx, "", peak, "github.com/berth-registry/berth/test/benchprovider/peak"); err != nil {
		return err
	}
	p, err := locate(ctx, s, progress)
	if err != nil {
		return err
	}
	all := contestants(ctx, fixture, s, p)
	before := load()
	order := slices.Clone(all)
	rnd := rand.New(rand.NewPCG(s.sample.Seed, 5))
	for round := range s.rounds {
		rnd.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		for _, c := range order {
			if err := c.race(ctx, fixture, dir, peak); err != nil {
				return fmt.Errorf("%s: %w", c.row, err)
			}
			fmt.Fprintf(progress, "round %d: %s: %s\n", round+1, c.row, c.times[len(c.times)-1].Round(time.Millisecond))
		}
	}
	printMachine(out, s, before)
	fmt.Fprintf(out, "| | median | middle half | × ours | largest process |\n|---|---:|---:|---:|---:|\n")
	slices.SortFunc(all, func(a, b *contestant) int { return int(a.median() - b.median()) })
	ours := all[slices.IndexFunc(all, func(c *contestant) bool { return c.ours })]
	for _, c := range all {
		fmt.Fprintf(out, "| %s | %.2f s | %.2f s–%.2f s | %.2f | %.0f MiB |\n", c.row, c.median().Seconds(),
			c.quantile(0.25).Seconds(), c.quantile(0.75).Seconds(), float64(c.median())/float64(ours.median()), float64(c.peak)/1024)
	}
	// Another version of berth may be faster.
	if first := all[slices.IndexFunc(all, func(c *contestant) bool { return !c.beside })]; first != ours {
		return fmt.Errorf("%s is faster", first.row)
	}
	return nil
}

func printMachine(out io.Writer, s settings, before string) {
	fmt.Fprintf(out, "%d rounds; %s; %d × %s; load average %s before, %s after\n\n", s.rounds, runtime.Version(), runtime.NumCPU(), processor(), before, load())
}

func (c *contestant) quantile(q float64) time.Duration {
	sorted := slices.Sorted(slices.Values(c.times))
	return sorted[int(q*float64(len(sorted)-1)+0.5)]
}

func (c *contestant) median() time.Duration { return c.quantile(0.5) }

// race runs one copy and checks that the images are there.
func (c *contestant) race(ctx context.Context, fixture *trial.Fixture, dir, peak string) (err error) {
	target, err := real.Start(ctx, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, target.Close()) }()
	if err := c.measure(ctx, dir, peak, target.Addr()); err != nil {
		return err
	}
	if c.ours {
		different, err := target.Differences(ctx, fixture.Set)
		if err == nil && len(different) > 0 {
			err = fmt.Errorf("the copy is not exact: %q", different[:min(len(different), 10)])
		}
		return err
	}
	return wantImages(ctx, target.Addr(), fixture)
}

// measure runs the program, and records its time and its memory.
func (c *contestant) measure(ctx context.Context, dir, peak, target string) error {
	report, write, err := os.Pipe()
	if err != nil {
		return err
	}
	defer report.Close()
	args := c.args(target)
	cmd := exec.CommandContext(ctx, peak, args...)
	cmd.Env = append(os.Environ(), "HOME="+dir, "DOCKER_CONFIG="+dir, "AWS_EC2_METADATA_SERVICE_ENDPOINT=http://127.0.0.1:1")
	cmd.ExtraFiles = []*os.File{write}
	var text bytes.Buffer
	cmd.Stdout, cmd.Stderr = &text, &text
	begin := time.Now()
	err = cmd.Run()
	took := time.Since(begin)
	write.Close()
	if err != nil {
		return fmt.Errorf("%w: %s", err, text.Bytes()[max(0, text.Len()-2000):])
	}
	raw, err := io.ReadAll(report)
	if err != nil {
		return err
	}
	kib, err := strconv.Atoi(string(raw))
	if err != nil {
		return fmt.Errorf("peak memory: %w", err)
	}
	c.times, c.peak = append(c.times, took), max(c.peak, kib)
	return nil
}

// wantImages checks that every image is there, by its digest.
func wantImages(ctx context.Context, addr string, fixture *trial.Fixture) error {
	for _, i := range fixture.Set.Images {
		req, err := http.NewRequestWithContext(ctx, http.MethodHead, "http://"+addr+"/v2/"+i.Repository+"/manifests/"+i.Tag, nil)
		if err != nil {
			return err
		}
		req.Header.Set("Accept", "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json, application/vnd.docker.distribution.manifest.list.v2+json")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		resp.Body.Close()
		if got := resp.Header.Get("Docker-Content-Digest"); got != i.Digest {
			return fmt.Errorf("%s:%s is %q, want %s", i.Repository, i.Tag, got, i.Digest)
		}
	}
	return nil
}

func load() string {
	raw, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	first, _, _ := strings.Cut(string(raw), " ")
	return first
}

func processor() string {
	raw, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	for line := range strings.Lines(string(raw)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}
