package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/berth-registry/berth/internal/ownedfile"
)

// stopped ends the agent at random moments while it writes all files anew. A
// first change, which nobody disturbs, tells how long that takes.
func stopped(ctx context.Context, o options) error {
	n, err := newNode(o, "stop", "127.0.0.1:19478")
	if err != nil {
		return err
	}
	rnd := rand.New(rand.NewPCG(o.seed, 2))
	var samples []time.Duration
	torn, left, inside := 0, 0, 0
	if err := n.save(every(o.files, 0)); err != nil {
		return err
	}
	var span time.Duration // of writing all files
	for g := 1; g <= 1+o.stops; g++ {
		if err := n.start(ctx); err != nil {
			return err
		}
		if err := n.save(every(o.files, g)); err != nil {
			return err
		}
		if err := n.until(ctx, g, 0); err != nil {
			return err
		}
		if g == 1 {
			begin := time.Now()
			if err := n.until(ctx, g, o.files-1); err != nil {
				return err
			}
			span = time.Since(begin)
			if _, err := n.stop(); err != nil {
				return err
			}
			continue
		}
		if err := sleep(ctx, time.Duration(rnd.Int64N(int64(span)))); err != nil {
			return err
		}
		took, err := n.stop()
		if err != nil {
			return fmt.Errorf("the agent did not end well: %w", err)
		}
		samples = append(samples, took)
		old, now := 0, 0
		err = filepath.WalkDir(filepath.Join(n.root, "etc"), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			b, err := os.ReadFile(path)
			switch {
			case err != nil:
				return err
			case ownedfile.Temporary(d.Name()):
				left++
			case !ownedfile.Intact(b):
				torn++
			case strings.Contains(string(b), fmt.Sprintf("https://m%d.corp/", g)):
				now++
			default:
				old++
			}
			return nil
		})
		if err != nil {
			return err
		}
		if old > 0 && now > 0 {
			inside++
		}
	}
	slices.Sort(samples)
	fmt.Fprintf(o.out, "\n| stopped while %d files change | times | in the middle | median | longest | torn files | left-over files |\n|---|---:|---:|---:|---:|---:|---:|\n", o.files)
	fmt.Fprintf(o.out, "| SIGTERM | %d | %d | %.0f ms | %.0f ms | %d | %d |\n", len(samples), inside, ms(quantile(samples, 0.5)), ms(samples[len(samples)-1]), torn, left)
	longest := samples[len(samples)-1]
	least := len(samples) / 2
	if len(samples) < 20 {
		least = 0 // on a busy machine each of a few may come late
	}
	return errors.Join(
		o.limit(inside >= least, "%d of %d stops were in the middle of the change (at least %d)", inside, len(samples), least),
		o.limit(longest <= 2*time.Second, "%.0f ms until it had ended (at most 2,000)", ms(longest)),
		o.limit(torn == 0 && left == 0, "%d torn and %d left-over files", torn, left))
}

// every is a config in which all upstreams are of one generation.
func every(upstreams, generation int) string {
	return strings.ReplaceAll(large(upstreams, -1, 0, `{mode: "off"}`), "https://m0.corp/", fmt.Sprintf("https://m%d.corp/", generation))
}
