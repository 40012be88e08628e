// Bench is the long form of the trials of berth images copy, with real registries: whether copies
// are exact if the process is killed at random moments or the target fails, whether the trials find
// faults, and the speed beside crane, regsync and skopeo: of copies to a registry, to files and from
// files, and of pulls from files that are served. It prints the tables of docs/benchmarks.md, and
// fails if a copy is not exact or one of the others copies to a registry faster.
//
//	go run ./test/images/bench
//
// It needs Debian's docker-registry and, for the parts speed and files, skopeo (apt-get install -y
// --no-install-recommends docker-registry skopeo), and builds crane and regsync once a machine. With
// -hauler and -beside, hauler and a berth of another version take part.
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
	"github.com/berth-registry/berth/test/images/real"
	"github.com/berth-registry/berth/test/images/sample"
	"github.com/berth-registry/berth/test/images/trial"
)

type settings struct {
	berth    string
	sample   sample.Options
	kills    int
	share    float64
	rounds   int
	parallel int
	trials   string
	hauler   string // paths of programs that take part
	other    string
}

func main() {
	var s settings
	flag.StringVar(&s.berth, "berth", "", "the program (default: it is built)")
	flag.Uint64Var(&s.sample.Seed, "seed", 1, "of the images and the random moments")
	flag.IntVar(&s.sample.Images, "images", 200, "how many images are copied")
	flag.IntVar(&s.sample.MinLayer, "min", 200, "bytes of the smallest layer")
	flag.IntVar(&s.sample.MaxLayer, "max", 2<<20, "bytes of the largest layer")
	flag.IntVar(&s.kills, "kills", 50, "how often the process is killed, in each of killed, layout and bundle (there on each side)")
	flag.Float64Var(&s.share, "share", 0.1, "share of the requests that fail")
	flag.IntVar(&s.rounds, "rounds", 5, "how often each program copies everything")
	flag.IntVar(&s.parallel, "parallel", 8, "how many processes of crane and skopeo run at the same time")
	flag.StringVar(&s.trials, "trials", "controls,exact,failing,killed,layout,bundle,speed,files,serve", "which of these")
	flag.StringVar(&s.hauler, "hauler", "", "in files and serve: the hauler binary to compare with")
	flag.StringVar(&s.other, "beside", "", "in speed and files: the berth binary of another version to compare with")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, s, os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, s settings, out, progress io.Writer) (err error) {
	dir, err := real.Dir()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if s.berth == "" {
		s.berth = filepath.Join(dir, "berth")
		if err := gobuild.Programs(ctx, "", s.berth, "github.com/berth-registry/berth/cmd/berth"); err != nil {
			return err
		}
	}
	if s.berth, err = filepath.Abs(s.berth); err != nil {
		return err
	}
	if s.other != "" {
		if s.other, err = filepath.Abs(s.other); err != nil {
			return err
		}
	}
	fixture, err := trial.Prepare(ctx, s.berth, dir, s.sample)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, fixture.Close()) }()
	fmt.Fprintf(out, "seed %d: %d images under %d tags in %d repositories, %d blobs with %.0f MiB\n", s.sample.Seed,
		len(fixture.Set.Images), len(fixture.Set.Tags), len(fixture.Set.Manifests), len(fixture.Set.Unique), float64(fixture.Set.Bytes())/(1<<20))
	var failed []error
	for name := range strings.SplitSeq(s.trials, ",") {
		begin := time.Now()
		var res trial.Result
		var err error
		switch name {
		case "exact":
			res, err = fixture.Exact(ctx)
		case "failing":
			res, err = fixture.Failing(ctx, s.share)
		case "killed":
			res, err = fixture.Killed(ctx, s.kills, func(line string) { fmt.Fprintln(progress, line) })
		case "layout":
			res, err = fixture.Layout(ctx, s.kills)
		case "bundle":
			res, err = fixture.Bundle(ctx, s.kills, func(line string) { fmt.Fprintln(progress, line) })
		case "controls":
			failed = append(failed, controls(ctx, s, dir, out))
			continue
		case "speed":
			failed = append(failed, speed(ctx, fixture, s, dir, out, progress))
			continue
		case "files":
			failed = append(failed, files(ctx, fixture, s, dir, out, progress))
			continue
		case "serve":
			failed = append(failed, serve(ctx, fixture, s, dir, out, progress))
			continue
		default:
			err = fmt.Errorf("%q is no trial", name)
		}
		if err != nil {
			return errors.Join(append(failed, err)...)
		}
		fmt.Fprintf(out, "%s: %d kills, %d requests failed of %d, %d things sent, %d wrong (%s)\n",
			name, res.Kills, res.Failures, res.Requests, res.Sent, len(res.Wrong), time.Since(begin).Round(time.Second))
		for _, w := range res.Wrong {
			failed = append(failed, fmt.Errorf("%s: %s", name, w))
		}
	}
	return errors.Join(failed...)
}

// controls tests the trials, with fewer images: more would show nothing else.
func controls(ctx context.Context, s settings, dir string, out io.Writer) (err error) {
	if dir, err = os.MkdirTemp(dir, "controls-"); err != nil {
		return err
	}
	naive := filepath.Join(dir, "naive")
	if err := gobuild.Programs(ctx, "", naive, "github.com/berth-registry/berth/test/images/naive"); err != nil {
		return err
	}
	o := s.sample
	o.Images, o.SharedBy = min(o.Images, 20), 8
	fixture, err := trial.Prepare(ctx, s.berth, dir, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, fixture.Close()) }()
	unnoticed, err := fixture.Controls(ctx, naive)
	fmt.Fprintf(out, "controls: %d not noticed\n", len(unnoticed))
	for _, u := range unnoticed {
		err = errors.Join(err, fmt.Errorf("control: %s", u))
	}
	return err
}
