// Benchagent measures a running berth agent: how soon it repairs a damaged file, how soon a saved
// config is in the hosts.toml, its idle cost beside a bare HTTP server, whether it grows with the
// number of its probes, and how soon it ends when it is stopped in the middle of writing. With -part
// beside it compares the start and the memory of two versions, and with -part memory, as root, it runs
// an agent with the memory limit of the chart. It uses only free ports, and leaves no
// process and no file. It prints tables for docs/benchmarks.md.
//
// Exit status: 0 if all limits hold, 1 if one does not or an error occurred.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/berth-registry/berth/test/gobuild"
)

// options are the lengths of the trials.
type options struct {
	berth  string // the binary
	dir    string // for everything that is written
	seed   uint64
	files  int // to damage, and upstreams of the large config
	saves  int
	idle   time.Duration
	probes int
	stops  int
	other  string // a berth binary to compare with
	rounds int
	flood  int // connections
	out    io.Writer
	// patience is how long an agent may take until it is ready.
	patience time.Duration
}

// trial is one part of the program.
type trial struct {
	name string
	run  func(context.Context, options) error
}

var errLimit = errors.New("a limit does not hold")

func main() {
	o := options{out: os.Stdout, patience: time.Minute}
	part := flag.String("part", "drift,save,idle,probes,stop", "which trials, separated by commas")
	flag.StringVar(&o.berth, "berth", "bin/berth", "the berth binary")
	flag.Uint64Var(&o.seed, "seed", 1, "of what is random")
	flag.IntVar(&o.files, "files", 1000, "how many files are damaged, and upstreams of the large config")
	flag.IntVar(&o.saves, "saves", 300, "how often the config is saved")
	flag.DurationVar(&o.idle, "idle", 5*time.Minute, "how long nothing happens")
	flag.IntVar(&o.probes, "probes", 72000, "how many probes the growth is watched over")
	flag.IntVar(&o.stops, "stops", 50, "how often the agent is stopped while it writes")
	flag.StringVar(&o.other, "beside", "", "for -part beside: the berth binary of another version")
	flag.IntVar(&o.rounds, "rounds", 20, "for -part beside: how often each of them is started")
	flag.IntVar(&o.flood, "flood", 1000, "for -part memory: how many connections clients make")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, o, strings.Split(*part, ","))
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "benchagent:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options, parts []string) (err error) {
	if o.berth, err = filepath.Abs(o.berth); err != nil {
		return err
	}
	if o.dir, err = os.MkdirTemp("", "benchagent-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(o.dir)) }()
	trials := []trial{{"drift", drift}, {"save", save}, {"idle", idle}, {"probes", growth}, {"stop", stopped}, {"beside", beside}, {"memory", limited}}
	var errs []error
	for _, part := range parts {
		known := false
		for _, t := range trials {
			if t.name != part {
				continue
			}
			known = true
			fmt.Fprintf(os.Stderr, "== %s\n", t.name)
			if err := t.run(ctx, o); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", t.name, err))
			}
		}
		if !known {
			return fmt.Errorf("-part: %q is no trial", part)
		}
	}
	return errors.Join(errs...)
}

// limit reports whether a limit holds.
func (o options) limit(holds bool, format string, args ...any) error {
	verdict := "holds"
	if !holds {
		verdict = "DOES NOT HOLD"
	}
	fmt.Fprintf(o.out, "- %s: %s\n", fmt.Sprintf(format, args...), verdict)
	if !holds {
		return errLimit
	}
	return nil
}

// build builds a package of this module and returns the program.
func build(ctx context.Context, o options, pkg string) (string, error) {
	out := filepath.Join(o.dir, filepath.Base(pkg))
	return out, gobuild.Programs(ctx, "", out, pkg)
}
