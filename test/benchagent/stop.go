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

	"github.com/berth-registry/berth/internal/managedfile"
)

// stops are what was seen of an agent that was stopped again and again.
type stops struct {
	took   []time.Duration
	inside int // so many found files of both generations
	torn   int
	left   int // temporary files
}

// stopped ends the agent while it writes all files anew, each time when some
// more of them are written than the time before.
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
		if err := s.look(n, g); err != nil {
			return err
		}
	}
	return s.judge(o)
}

// stopAfter is the index of the file that has to be new before the agent is
// stopped for the nth time. As they are written in the order of their names, no
// clock has to meet the middle of the writing.
func stopAfter(nth, stops, files int) int {
	return (nth - 1) * files / stops
}

// look sees what a stop has left while generation g was written.
func (s *stops) look(n *node, g int) error {
	before, now := 0, 0
	err := filepath.WalkDir(filepath.Join(n.root, "etc"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		switch {
		case err != nil:
			return err
		case managedfile.Temporary(d.Name()):
			s.left++
		case !managedfile.Intact(b):
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

// long is how many stops make a trial whose figures are recorded, on a machine
// that does nothing else.
const long = 20

// judge prints what was seen and says which limits hold. A few stops are for
// machines of which nothing is known: on a busy one most may come late, and the
// end may take its time.
func (s *stops) judge(o options) error {
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

// every is a config in which all upstreams are of one generation.
func every(upstreams, generation int) string {
	return strings.ReplaceAll(large(upstreams, -1, 0, `{mode: "off"}`), "https://m0.corp/", fmt.Sprintf("https://m%d.corp/", generation))
}
