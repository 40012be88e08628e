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

// stopped ends the agent at random moments while it writes all files anew.
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
	for g := 1; g <= o.stops; g++ {
		if err := n.start(ctx); err != nil {
			return err
		}
		if err := n.save(every(o.files, g)); err != nil {
			return err
		}
		if err := sleep(ctx, 60*time.Millisecond+time.Duration(rnd.Int64N(int64(600*time.Millisecond)))); err != nil {
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
	var early error
	if len(samples) >= 20 { // of a few, none may hit
		early = o.limit(inside > 0, "%d of %d stops were in the middle of the change", inside, len(samples))
	}
	return errors.Join(early,
		o.limit(longest <= 2*time.Second, "%.0f ms until it had ended (at most 2,000)", ms(longest)),
		o.limit(torn == 0 && left == 0, "%d torn and %d left-over files", torn, left))
}

// every is a config in which all upstreams are of one generation.
func every(upstreams, generation int) string {
	return strings.ReplaceAll(large(upstreams, -1, 0, `{mode: "off"}`), "https://m0.corp/", fmt.Sprintf("https://m%d.corp/", generation))
}
