package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/berth-registry/berth/node/providerconfig"
	"github.com/berth-registry/berth/test/fakes/fakenode"
)

// result is the outcome of the trials with one installer.
type result struct {
	installer              string
	stepKills, randomKills int
	dead                   []string // daemons that did not start after a kill
	stuck                  []string // runs that did not finish after one
	left                   []string // nodes that are not as they were
}

// driver runs the trials.
type driver struct {
	o      options
	dir    string
	self   string
	shapes []fakenode.Shape
	real   *realPrograms
	n      int
}

func newDriver(o options, dir string) (*driver, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	shapes, err := fakenode.Shapes()
	return &driver{o: o, dir: dir, self: self, shapes: shapes, real: newRealPrograms(o)}, err
}

// trial is one kill.
type trial struct {
	shape fakenode.Shape
	op    string
	order string
	at    int           // the step at which the child kills itself
	delay time.Duration // else how long after its first change
}

func (t trial) String() string {
	when := fmt.Sprintf("step %d", t.at)
	if t.at == 0 {
		when = t.delay.String()
	}
	return fmt.Sprintf("%s of %s, killed at %s", t.op, t.shape.Name, when)
}

// drive kills one installer in each trial.
func (d *driver) drive(ctx context.Context, order string) (result, error) {
	r := result{installer: order}
	trials, err := d.trials(ctx, order)
	if err != nil {
		return r, err
	}
	for _, t := range trials {
		if err := ctx.Err(); err != nil {
			return r, err
		}
		if err := d.one(ctx, t, &r); err != nil {
			return r, fmt.Errorf("%v: %w", t, err)
		}
	}
	return r, nil
}

// trials returns the kills: each step of each shape, and as many random moments, or a sample of all
// those.
func (d *driver) trials(ctx context.Context, order string) ([]trial, error) {
	rnd := rand.New(rand.NewSource(d.o.seed))
	var all []trial
	for _, shape := range d.shapes {
		for _, op := range []string{opInstall, opUninstall} {
			if order == wrongOrder && (op == opUninstall || shape.Name != d.shapes[0].Name) {
				continue
			}
			steps, took, err := d.measure(ctx, shape, op, order)
			if err != nil {
				return nil, fmt.Errorf("%s of %s: %w", op, shape.Name, err)
			}
			for at := 1; at <= steps; at++ {
				all = append(all, trial{shape: shape, op: op, order: order, at: at})
				if order == inOrder {
					all = append(all, trial{shape: shape, op: op, order: order, delay: time.Duration(rnd.Int63n(int64(took) + 1))})
				}
			}
		}
	}
	if order == inOrder && d.o.trials > 0 && d.o.trials < len(all) {
		rnd.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		all = all[:d.o.trials]
	}
	return all, nil
}

// measure runs without a kill and returns the number of steps and their duration.
func (d *driver) measure(ctx context.Context, shape fakenode.Shape, op, order string) (int, time.Duration, error) {
	dir, n, _, err := d.node(ctx, shape, op)
	if err != nil {
		return 0, 0, err
	}
	defer os.RemoveAll(dir)
	defer n.Close()
	steps := 0
	var begin time.Time
	err = work(ctx, dir, op, order, func(string) error { steps++; return nil }, func() { begin = time.Now() })
	return steps, time.Since(begin), err
}

// node makes a node, for an uninstall one on which berth is installed. It also returns the earlier
// state.
func (d *driver) node(ctx context.Context, shape fakenode.Shape, op string) (dir string, n *fakenode.Node, before map[string]string, err error) {
	d.n++
	dir = filepath.Join(d.dir, fmt.Sprint(d.n))
	if n, err = fakenode.Make(dir, shape.Archive); err != nil {
		return dir, n, nil, err
	}
	if before, err = n.Tree(); err != nil {
		return dir, n, nil, err
	}
	for _, name := range providerconfig.Programs() {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\nexit 1\n"), 0o755); err != nil {
			return dir, n, nil, err
		}
	}
	if op == opUninstall {
		err = work(ctx, dir, opInstall, inOrder, nil, func() {})
	}
	return dir, n, before, err
}

// one runs one trial.
func (d *driver) one(ctx context.Context, t trial, r *result) error {
	dir, n, before, err := d.node(ctx, t.shape, t.op)
	if n != nil {
		defer os.RemoveAll(dir)
		defer n.Close()
	}
	if err != nil {
		return err
	}
	killed, err := d.run(ctx, dir, t)
	if err != nil {
		return err
	}
	switch {
	case !killed && t.at > 0:
		return errors.New("it ended before its last step")
	case !killed: // faster this time
	case t.at > 0:
		r.stepKills++
	default:
		r.randomKills++
	}
	switch err := d.starts(ctx, n); {
	case errors.Is(err, errDisagree):
		return err
	case err != nil:
		r.dead = append(r.dead, fmt.Sprintf("%v: %v", t, err))
	}
	if t.order != inOrder {
		return nil
	}
	if err := work(ctx, dir, t.op, inOrder, nil, func() {}); err != nil {
		r.stuck = append(r.stuck, fmt.Sprintf("%v: %v", t, err))
		return nil
	}
	if err := n.Knows(); err != nil {
		r.stuck = append(r.stuck, fmt.Sprintf("%v: %v", t, err))
	}
	if t.op == opInstall {
		if why := wired(n); why != "" {
			r.stuck = append(r.stuck, fmt.Sprintf("%v: %s", t, why))
		}
		if err := work(ctx, dir, opUninstall, inOrder, nil, func() {}); err != nil {
			r.stuck = append(r.stuck, fmt.Sprintf("%v, then uninstall: %v", t, err))
			return nil
		}
	}
	after, err := n.Tree()
	if err != nil {
		return err
	}
	if diff := fakenode.Diff(before, after); len(diff) > 0 {
		r.left = append(r.left, fmt.Sprintf("%v: %s", t, strings.Join(diff, ", ")))
	}
	return nil
}

// wired returns what is missing after a finished run.
func wired(n *fakenode.Node) string {
	v, err := n.CheckContainerd()
	flags, flagsErr := n.KubeletFlags()
	switch {
	case err != nil || flagsErr != nil:
		return errors.Join(err, flagsErr).Error()
	case !v.Honoured:
		return "hosts.toml files are not honoured"
	}
	for _, f := range flags {
		if f.Config == "" {
			return "kubelet has no provider"
		}
	}
	return ""
}

// starts restarts both daemons, as systemd does after a crash and as the machine does after a power
// cut.
func (d *driver) starts(ctx context.Context, n *fakenode.Node) error {
	_, err := n.CheckContainerd()
	if err == nil {
		err = d.real.containerd(ctx, n)
	}
	return errors.Join(err, n.CheckKubelet(), d.real.kubelet(ctx, n))
}

// run runs a child until it has ended. killed is false if it ended by itself.
func (d *driver) run(ctx context.Context, dir string, t trial) (killed bool, err error) {
	cmd := exec.CommandContext(ctx, d.self, "child", "-dir", dir, "-op", t.op, "-order", t.order, "-at", fmt.Sprint(t.at))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return false, err
	}
	if err := cmd.Start(); err != nil {
		return false, err
	}
	if _, err := bufio.NewReader(out).ReadString('\n'); err == nil && t.at == 0 {
		time.Sleep(t.delay)
		_ = cmd.Process.Kill() // it may have ended by itself
	}
	err = cmd.Wait()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signal() == syscall.SIGKILL {
			return true, ctx.Err()
		}
	}
	if err != nil {
		return false, fmt.Errorf("%w: %s", err, stderr.String())
	}
	return false, nil
}
