package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/berth-registry/berth/test/fakes/fakeaws"
)

// bench runs the contestants.
type bench struct {
	aws         *fakeaws.Server
	peak        string // the program that measures memory
	contestants []*contestant
}

// warmUp runs each contestant once, to fill the caches and to load the programs into memory.
func (b *bench) warmUp(ctx context.Context) error {
	for _, c := range b.contestants {
		if _, err := b.execute(ctx, c, c.command(ctx)); err != nil {
			return err
		}
	}
	b.aws.ForgetCalls()
	return nil
}

// time runs all contestants in each round, in random order.
func (b *bench) time(ctx context.Context, rounds int) error {
	order := slices.Clone(b.contestants)
	for range rounds {
		rand.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		for _, c := range order {
			b.aws.ForgetCalls()
			took, err := b.execute(ctx, c, c.command(ctx))
			if err != nil {
				return err
			}
			if n := b.aws.Count(fakeaws.ECR, ""); n != c.ecrCalls {
				return fmt.Errorf("%s asked ECR %d times, not %d: this is not the situation to be measured", c.row, n, c.ecrCalls)
			}
			if n := b.aws.Count(fakeaws.WebIdentity, ""); n != c.stsCalls {
				return fmt.Errorf("%s asked STS %d times, not %d: this is not the situation to be measured", c.row, n, c.stsCalls)
			}
			c.times = append(c.times, took)
		}
	}
	return nil
}

func (c *contestant) command(ctx context.Context) *exec.Cmd {
	return exec.CommandContext(ctx, c.path, c.args...)
}

var password = regexp.MustCompile(`"(?:password|Secret)":\s*"([^"]+)"`)

// execute runs cmd for c and returns the time that it took. Its answer must hold a token that the
// fake issued.
func (b *bench) execute(ctx context.Context, c *contestant, cmd *exec.Cmd) (time.Duration, error) {
	if c.cold != "" {
		if err := os.RemoveAll(c.cold); err != nil {
			return 0, err
		}
	}
	var out, errOut bytes.Buffer
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = c.env, strings.NewReader(c.stdin), &out, &errOut
	begin := time.Now()
	err := cmd.Run()
	took := time.Since(begin)
	if err != nil {
		return 0, fmt.Errorf("%s: %w: %s", c.row, errors.Join(err, ctx.Err()), &errOut)
	}
	found := password.FindSubmatch(out.Bytes())
	if found == nil {
		return 0, fmt.Errorf("%s answered without a password: %s", c.row, &out)
	}
	if _, ok := b.aws.Token(string(found[1])); !ok {
		return 0, fmt.Errorf("%s answered with a token that was never issued", c.row)
	}
	return took, nil
}

// memory measures the peak of each contestant: the largest of five.
func (b *bench) memory(ctx context.Context) error {
	nothing, err := exec.LookPath("true")
	if err != nil {
		return err
	}
	least, err := peakOf(exec.CommandContext(ctx, b.peak, nothing), (*exec.Cmd).Run)
	if err != nil {
		return err
	}
	for _, c := range b.contestants {
		for range 5 {
			peak, err := peakOf(exec.CommandContext(ctx, b.peak, append([]string{c.path}, c.args...)...), func(cmd *exec.Cmd) error {
				_, err := b.execute(ctx, c, cmd)
				return err
			})
			if err != nil {
				return err
			}
			c.peak = max(c.peak, peak)
		}
		if c.peak <= least {
			return fmt.Errorf("%s seems to need no more memory (%d KiB) than what measures it: the figure is not its own", c.row, c.peak)
		}
	}
	return nil
}

// peakOf runs cmd, which is the program peak with a program to run, and returns the peak in KiB.
func peakOf(cmd *exec.Cmd, run func(*exec.Cmd) error) (int64, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	defer r.Close()
	cmd.ExtraFiles = []*os.File{w}
	err = errors.Join(run(cmd), w.Close())
	if err != nil {
		return 0, err
	}
	b := make([]byte, 32)
	n, err := r.Read(b)
	if err != nil {
		return 0, fmt.Errorf("read the peak of %s: %w", cmd, err)
	}
	return strconv.ParseInt(string(b[:n]), 10, 64)
}
