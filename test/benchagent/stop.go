package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/berth-registry/berth/internal/managedfile/record"
	"github.com/berth-registry/berth/internal/nodefs"
)

// stops are the results of stopping an agent repeatedly.
type stops struct {
	took   []time.Duration
	inside int // so many found files of both generations
	torn   int
	left   int // temporary files
}

// stopped ends the agent while it rewrites all files, each time when more of them are written.
func stopped(ctx context.Context, o options) error {
	n, err := newNode(o, "stop")
	if err != nil {
		return err
	}
	defer n.close()
	if err := n.save(every(o.files, 0)); err != nil {
		return err
	}
	var s stops
	for g := 1; g <= o.stops; g++ {
		if err := n.start(ctx); err != nil {
			return err
		}
		if err := n.save(every(o.files, g)); err != nil {
			return err
		}
		if err := n.until(ctx, g, stopAfter(g, o.stops, o.files)); err != nil {
			return err
		}
		took, err := n.stop()
		if err != nil {
			return fmt.Errorf("the agent did not end well: %w", err)
		}
		s.took = append(s.took, took)
		if err := s.inspect(n, g); err != nil {
			return err
		}
	}
	return s.report(o)
}

// stopAfter returns the index of the file after which the agent is stopped for the nth time. The
// files are written in the order of their names, so no clock is needed to stop in the middle.
func stopAfter(nth, stops, files int) int {
	return (nth - 1) * files / stops
}

// inspect checks the files after a stop while generation g was written.
func (s *stops) inspect(n *node, g int) error {
	before, now := 0, 0
	err := filepath.WalkDir(filepath.Join(n.root, "etc"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		switch {
		case err != nil:
			return err
		case nodefs.Temporary(d.Name()):
			s.left++
		case !record.Intact(b):
			s.torn++
		case strings.Contains(string(b), fmt.Sprintf("https://m%d.corp/", g)):
			now++
		default:
			before++
		}
		return nil
	})
	if before > 0 && now > 0 {
		s.inside++
	}
	return err
}

// long is the number of stops of a trial whose figures are recorded, on an idle machine.
const long = 20

// report prints the results and checks the limits. A trial with few stops runs on machines that may
// be busy, where most stops may come late and the end may take long.
func (s *stops) report(o options) error {
	times, least, most := len(s.took), 1, 30*time.Second
	if times >= long {
		least, most = times/2, 2*time.Second
	}
	slices.Sort(s.took)
	longest := s.took[times-1]
	fmt.Fprintf(o.out, "\n| stopped while %d files change | times | in the middle | median | longest | torn files | left-over files |\n|---|---:|---:|---:|---:|---:|---:|\n", o.files)
	fmt.Fprintf(o.out, "| SIGTERM | %d | %d | %.0f ms | %.0f ms | %d | %d |\n", times, s.inside, ms(quantile(s.took, 0.5)), ms(longest), s.torn, s.left)
	return errors.Join(
		o.limit(s.inside >= least, "%d of %d stops were in the middle of the change (at least %d)", s.inside, times, least),
		o.limit(longest <= most, "%.0f ms until it had ended (at most %s)", ms(longest), most),
		o.limit(s.torn == 0 && s.left == 0, "%d torn and %d left-over files", s.torn, s.left))
}

// every returns a config in which all upstreams are of one generation.
func every(upstreams, generation int) string {
	return strings.ReplaceAll(large(upstreams, -1, 0, `{mode: "off"}`), "https://m0.corp/", fmt.Sprintf("https://m%d.corp/", generation))
}
