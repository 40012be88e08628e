// Command install kills berth install and berth uninstall, at each of their steps and at random
// moments, on nodes of several shapes, and then checks that the node's daemons start: containerd
// with the configuration on disk, kubelet with the flags that systemd has loaded and with those
// after a reboot. Then it runs the command again, which must give the same result as without the
// kill; an uninstall restores the node byte for byte.
//
//	go run ./test/install -trials 60 -seed 1
//
// With -containerd (several, comma-separated), -kubelet and -keyring it also starts the real
// programs, once for each different set of files after a kill. They need root. The real kubelet and
// its stand-in must agree, also about the nodes of the next paragraph.
//
// The control is an installer with a wrong order of steps, which must leave nodes that do not
// start. If it does not, install fails.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "child" {
		if err := child(os.Args[2:], os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "install child:", err)
			os.Exit(1)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var o options
	flag.IntVar(&o.trials, "trials", 0, "kills; 0: one at each step, and as many at random moments")
	flag.Int64Var(&o.seed, "seed", 1, "seed of the choice of steps and moments")
	flag.StringVar(&o.dir, "dir", defaultDir(), "directory to work in; what a kill leaves does not depend on the disk")
	containerds := flag.String("containerd", "", "real containerds to start, comma-separated")
	flag.StringVar(&o.keyring, "keyring", "", "a program with kubelet's own code for providers (test/kubelet/parts/keyring)")
	flag.StringVar(&o.kubelet, "kubelet", "", "a real kubelet to start; needs -containerd")
	flag.Parse()
	if *containerds != "" {
		o.containerds = strings.Split(*containerds, ",")
	}
	if err := run(ctx, os.Stdout, o); err != nil {
		fmt.Fprintln(os.Stderr, "install:", err)
		os.Exit(1)
	}
}

type options struct {
	trials      int
	seed        int64
	dir         string
	containerds []string
	keyring     string
	kubelet     string
}

func defaultDir() string {
	const memory = "/dev/shm"
	if info, err := os.Stat(memory); err == nil && info.IsDir() {
		return memory
	}
	return os.TempDir()
}

func run(ctx context.Context, out io.Writer, o options) (err error) {
	if o.kubelet != "" && len(o.containerds) == 0 {
		return errors.New("-kubelet: it needs a container runtime: give -containerd as well")
	}
	work, err := os.MkdirTemp(o.dir, "install-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	started := time.Now()
	d, err := newDriver(o, work)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.real.close()) }()
	berth, err := d.drive(ctx, inOrder)
	if err != nil {
		return err
	}
	control, err := d.drive(ctx, wrongOrder)
	if err != nil {
		return err
	}
	table(out, berth, control)
	fmt.Fprintf(out, "real programs: %s\n", d.real)
	fmt.Fprintf(out, "seed %d, %v\n", o.seed, time.Since(started).Round(time.Second))
	return checkLimits(berth, control)
}

func table(out io.Writer, results ...result) {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "installer\tkills\tat steps\tat random moments\tdaemons that did not start\truns that did not go on\tnot as before\t")
	for _, r := range results {
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t\n", r.installer, r.stepKills+r.randomKills, r.stepKills, r.randomKills, len(r.dead), len(r.stuck), len(r.left))
	}
	t.Flush()
}

// kinds returns one example of each kind of fault.
func kinds(bad []string) []string {
	seen := map[string]bool{}
	var some []string
	for _, one := range bad {
		_, what, _ := strings.Cut(one, ": ")
		if !seen[what] {
			seen[what] = true
			some = append(some, one)
		}
	}
	return some
}

// checkLimits returns the violated limits.
func checkLimits(berth, control result) error {
	var errs []error
	for _, bad := range [][]string{berth.dead, berth.stuck, berth.left} {
		if len(bad) > 0 {
			errs = append(errs, fmt.Errorf("want none: %s", strings.Join(kinds(bad), "\n")))
		}
	}
	if berth.stepKills == 0 || berth.randomKills == 0 {
		errs = append(errs, errors.New("no child was killed"))
	}
	if len(control.dead) == 0 {
		errs = append(errs, errors.New("the installer in the wrong order left no node that does not start: the harness sees none"))
	}
	return errors.Join(errs...)
}
