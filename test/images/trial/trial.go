// Package trial tests berth images copy with real registries: copies are exact, also if the process
// is killed at random moments or the target fails, and content that exists is not sent again.
//
// Start with [Prepare], then call [Fixture.Exact], [Fixture.Killed], [Fixture.Failing],
// [Fixture.Layout] and [Fixture.Bundle]. [Fixture.Controls] tests the harness itself, with a
// careless copy and with damaged registries.
package trial

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/berth-registry/berth/test/fakes/fakeregistry"
	"github.com/berth-registry/berth/test/images/real"
	"github.com/berth-registry/berth/test/images/sample"
)

// Fixture is a source registry with a set of images, and a berth to copy them.
type Fixture struct {
	Berth  string // the program
	Dir    string // for files of the trials
	Source *real.Registry
	Set    *sample.Set
	Seed   uint64

	from string // a file or directory in place of the source; "" for none
}

// Prepare starts the source and fills it. The caller must call Close.
func Prepare(ctx context.Context, berth, dir string, o sample.Options) (*Fixture, error) {
	source, err := real.Start(ctx, dir)
	if err != nil {
		return nil, err
	}
	set, err := sample.Make(source, o)
	if err != nil {
		return nil, errors.Join(err, source.Close())
	}
	b := &Fixture{Berth: berth, Dir: dir, Source: source, Set: set, Seed: o.Seed}
	return b, b.writeList()
}

// Close stops the source.
func (b *Fixture) Close() error { return b.Source.Close() }

// List returns the path of the file with the names of the images.
func (b *Fixture) List() string { return filepath.Join(b.Dir, "images.txt") }

func (b *Fixture) writeList() error {
	var text strings.Builder
	for _, i := range b.Set.Images {
		fmt.Fprintf(&text, "%s/%s:%s\n", b.Source.Addr(), i.Repository, i.Tag)
	}
	return os.WriteFile(b.List(), []byte(text.String()), 0o600)
}

// Command returns berth images copy of the whole set.
func (b *Fixture) Command(ctx context.Context, to string) *exec.Cmd {
	if b.from != "" {
		return b.From(ctx, b.from, to)
	}
	return b.command(ctx, "--plain", b.List(), "--to", to)
}

// From returns berth images copy of all that a file or a directory has.
func (b *Fixture) From(ctx context.Context, from, to string) *exec.Cmd {
	return b.command(ctx, "--from", from, "--to", to)
}

// command returns berth images copy with these flags.
func (b *Fixture) command(ctx context.Context, flags ...string) *exec.Cmd {
	args := append([]string{"--root", filepath.Join(b.Dir, "root"), "images", "copy"}, flags...)
	cmd := exec.CommandContext(ctx, b.Berth, args...)
	cmd.Env = append(os.Environ(), "AWS_EC2_METADATA_SERVICE_ENDPOINT=http://127.0.0.1:1", "DOCKER_CONFIG="+b.Dir, "HOME="+b.Dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// copy runs it to its end, and returns its last line.
func (b *Fixture) copy(ctx context.Context, to string) (string, error) {
	return finish(b.Command(ctx, to))
}

func finish(cmd *exec.Cmd) (last string, err error) {
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("berth images copy: %w\n%s", err, tail(out))
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return lines[len(lines)-1], nil
}

// allThere reports whether the last line of a run says that there was nothing to do.
func (b *Fixture) allThere(last string) bool {
	return strings.HasPrefix(last, fmt.Sprintf("0 images copied, %d there already; 0 B sent", len(b.Set.Images)))
}

// signaled reports whether a run was killed, and not because the trial must end.
func signaled(ctx context.Context, err error) bool {
	exit, ok := errors.AsType[*exec.ExitError](err)
	return ok && exit.Sys().(syscall.WaitStatus).Signaled() && ctx.Err() == nil
}

func tail(out []byte) []byte {
	const most = 4000
	return out[max(0, len(out)-most):]
}

// Result is the outcome of a trial. Wrong is empty if there is no fault.
type Result struct {
	Wrong    []string
	Kills    int // that hit a running process
	Failures int // requests that were made to fail
	Requests int
	Sent     int // manifests and blobs that the registry took
}

// Exact copies to an empty registry, twice.
func (b *Fixture) Exact(ctx context.Context) (Result, error) {
	return b.trial(ctx, func(p *real.Proxy, res *Result) error {
		if _, err := b.copy(ctx, p.Addr()); err != nil {
			return err
		}
		before := len(p.Requests())
		last, err := b.copy(ctx, p.Addr())
		if err != nil {
			return err
		}
		if !b.allThere(last) {
			res.Wrong = append(res.Wrong, "the second run says: "+last)
		}
		for _, r := range p.Requests()[before:] {
			if r.Method != "GET" && r.Method != "HEAD" {
				res.Wrong = append(res.Wrong, "the second run sent: "+r.String())
			}
		}
		return nil
	})
}

// Failing copies to a registry where this share of the requests fails.
func (b *Fixture) Failing(ctx context.Context, share float64) (Result, error) {
	return b.trial(ctx, func(p *real.Proxy, res *Result) error {
		p.Fail(share, b.Seed)
		_, err := b.copy(ctx, p.Addr())
		res.Failures = p.Failed()
		return err
	})
}

// Killed copies, kills the process at random moments, and continues with another process, until
// this many were killed. When a copy is complete, the next one begins with an empty registry.
func (b *Fixture) Killed(ctx context.Context, kills int, progress func(string)) (Result, error) {
	rnd := rand.New(rand.NewPCG(b.Seed, 3))
	var total Result
	span := 0 // requests of a whole copy
	for total.Kills < kills {
		hits := 0
		res, err := b.trial(ctx, func(p *real.Proxy, _ *Result) error {
			for first := true; ; first = false {
				at := 0
				if span > 0 && total.Kills+hits < kills {
					// Early moments are more likely: each run does less than the one before, so
					// that the last ones are killed when little is left to do.
					at = 1 + rnd.IntN(max(span>>(1+rnd.IntN(5)), 1))
				}
				killed, err := b.copyUntil(ctx, p, at, time.Duration(rnd.IntN(3000))*time.Microsecond)
				if err != nil {
					return err
				}
				if !killed {
					if first && span == 0 {
						span = len(p.Requests())
					}
					return nil
				}
				hits++
			}
		})
		if err != nil {
			return total, err
		}
		total.Kills += hits
		total.Requests += res.Requests
		total.Sent += res.Sent
		total.Wrong = append(total.Wrong, res.Wrong...)
		progress(fmt.Sprintf("%d of %d kills", total.Kills, kills))
	}
	return total, nil
}

// copyUntil runs a copy and kills it a moment after request n, 0 for never.
func (b *Fixture) copyUntil(ctx context.Context, p *real.Proxy, n int, after time.Duration) (killed bool, err error) {
	cmd := b.Command(ctx, p.Addr())
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	reached := make(chan struct{})
	p.On(func(request int) {
		if request == n {
			close(reached)
		}
	})
	defer p.On(nil)
	if err := cmd.Start(); err != nil {
		return false, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err = <-ended:
	case <-reached:
		time.Sleep(after)
		_ = cmd.Process.Kill() // it may just have ended
		err = <-ended
	}
	if signaled(ctx, err) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("berth images copy: %w\n%s", err, tail(out.Bytes()))
	}
	return false, nil
}

// trial runs f with an empty target, and checks the target's content and the requests.
func (b *Fixture) trial(ctx context.Context, f func(*real.Proxy, *Result) error) (res Result, err error) {
	target, err := real.Start(ctx, b.Dir)
	if err != nil {
		return res, err
	}
	defer func() { err = errors.Join(err, target.Close()) }()
	p := real.StartProxy(target.Addr())
	defer p.Close()
	if err := f(p, &res); err != nil {
		return res, err
	}
	different, err := target.Differences(ctx, b.Set)
	if err != nil {
		return res, err
	}
	requests := p.Requests()
	res.Requests = len(requests)
	for _, r := range requests {
		if r.Method == "PUT" && r.Status == 201 {
			res.Sent++
		}
	}
	res.Wrong = append(res.Wrong, different...)
	for _, s := range fakeregistry.SentAgain(requests) {
		res.Wrong = append(res.Wrong, "sent though it was there: "+s)
	}
	for _, s := range fakeregistry.UploadedAgain(requests) {
		res.Wrong = append(res.Wrong, "content sent though the registry had it: "+s)
	}
	return res, nil
}
