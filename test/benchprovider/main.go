// Benchprovider compares berth-credential-provider with the least that a provider in Go can cost
// and with the programs that are in use today, each against the same fake AWS, and prints a table
// for docs/benchmarks.md.
//
// The contestants take turns in random order, round after round, so that other load on the machine
// affects all of them alike; medians are compared. Every answer must hold a token that the fake
// issued. It writes only to a temporary directory and to the build cache of the other programs.
//
// Start with contestants; limits are in report.go.
//
// Exit status: 0 when all limits hold, 1 when one is missed or on any error.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/berth-registry/berth/test/fakes/fakeaws"
)

func main() {
	rounds := flag.Int("rounds", 100, "how often each contestant runs; at least 40")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, *rounds, os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "benchprovider:", err)
		os.Exit(1)
	}
}

const minRounds = 40

var (
	profileKey = fakeaws.Key{ID: "ASIABENCHPROFILE", Secret: "profile-secret", Session: "profile-session"}
	staticKey  = fakeaws.Key{ID: "AKIABENCHSTATIC", Secret: "static-secret"}
)

func run(ctx context.Context, rounds int, out, progress io.Writer) (err error) {
	if rounds < minRounds {
		return fmt.Errorf("%d rounds are too few for a median that means something: at least %d", rounds, minRounds)
	}
	dir, err := os.MkdirTemp("", "benchprovider-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	programs, err := build(ctx, dir, progress)
	if err != nil {
		return err
	}
	aws, err := startAWS()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, aws.Close()) }()
	b := &bench{aws: aws, peak: programs.peak.path, contestants: contestants(programs, aws, dir)}
	if err := b.warmUp(ctx); err != nil {
		return err
	}
	before := loadAverage()
	fmt.Fprintf(progress, "%d rounds of %d contestants; load average %s\n", rounds, len(b.contestants), before)
	if err := b.time(ctx, rounds); err != nil {
		return err
	}
	if err := b.memory(ctx); err != nil {
		return err
	}
	return report(out, b.contestants, machine(rounds, before, time.Now()))
}

// startAWS runs a fake with the latencies that a node sees: the metadata service is on the machine
// itself, ECR in the region.
func startAWS() (*fakeaws.Server, error) {
	aws, err := fakeaws.Start()
	if err != nil {
		return nil, err
	}
	aws.SetRole("node", profileKey)
	aws.AddKey(staticKey)
	for _, p := range []fakeaws.Point{
		fakeaws.MetadataToken, fakeaws.MetadataRole, fakeaws.MetadataCredentials, fakeaws.MetadataDocument,
	} {
		aws.SetLatency(p, 2*time.Millisecond)
	}
	aws.SetLatency(fakeaws.ECR, 30*time.Millisecond)
	aws.SetLatency(fakeaws.WebIdentity, 30*time.Millisecond)
	aws.SetWebIdentity(func(token, role string) error {
		if token != podToken || role != podRole {
			return errors.New("not the token and the role of the pod")
		}
		return nil
	})
	return aws, nil
}
