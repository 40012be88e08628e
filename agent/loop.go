package agent

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

const (
	// A pass begins when nothing has happened for debounceQuiet, and at the latest debounceMax
	// after the first event: one save is several events.
	debounceQuiet = 20 * time.Millisecond
	debounceMax   = 100 * time.Millisecond
	// resyncWatched and resyncUnwatched are the times between two passes when nothing happens,
	// with and without inotify.
	resyncWatched   = time.Minute
	resyncUnwatched = 10 * time.Second
	// retryFirst and retryLast bound the pause after a failure.
	retryFirst = 500 * time.Millisecond
	retryLast  = 10 * time.Second
	// firstAnswers is how long the first pass waits for tokens and probes.
	firstAnswers = 3 * time.Second
)

// loop runs a pass for each wake-up and each tick, until ctx is done.
func (a *Agent) loop(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	retried := time.Now()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-a.wake:
			a.debounce(ctx, wakePause(a.state.noopRuns))
		case <-timer.C:
			a.state.noopRuns = 0
		}
		if ctx.Err() != nil {
			return nil
		}
		if time.Since(retried) > resyncUnwatched/2 {
			retried = time.Now()
			a.watcher.Retry()
		}
		a.recordProgress()
		pause := a.reconcileOnce(ctx)
		a.recordProgress()
		timer.Reset(pause)
	}
}

// wakePause is the pause before a pass that an event asks for, after noopRuns passes in a row that
// found nothing to do. It bounds the cost of a program that keeps writing to a watched
// directory.
func wakePause(noopRuns int) time.Duration {
	const unthrottledRuns = 3 // the agent's own writes wake the loop too
	if noopRuns <= unthrottledRuns {
		return 0
	}
	return min(debounceQuiet<<min(noopRuns-unthrottledRuns, 10), time.Second)
}

// debounce waits at least minWait, and then until nothing has happened for debounceQuiet.
func (a *Agent) debounce(ctx context.Context, minWait time.Duration) {
	if minWait > 0 {
		select {
		case <-ctx.Done():
			return
		case <-time.After(minWait):
		}
	}
	end := time.NewTimer(debounceMax)
	defer end.Stop()
	pause := time.NewTimer(debounceQuiet)
	defer pause.Stop()
	for {
		select {
		case <-a.wake:
			pause.Reset(debounceQuiet)
		case <-pause.C:
			return
		case <-end.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// pause returns the time until the next pass if nothing happens; failed is the error of this
// one.
func (a *Agent) pause(failed error) time.Duration {
	if failed != nil && !errors.Is(failed, errWarmingUp) {
		a.state.retry = min(max(2*a.state.retry, retryFirst), retryLast)
		return a.state.retry
	}
	a.state.retry = 0
	if failed != nil {
		return 100 * time.Millisecond
	}
	resync := a.o.resync
	if resync == 0 {
		resync = resyncWatched
		if watched, _ := a.watching(); !watched {
			resync = resyncUnwatched
		}
	}
	// Random, so that nodes that started together do not run in step.
	return resync - rand.N(resync/10+1)
}

// watching reports whether inotify sees every change, and else why not.
func (a *Agent) watching() (ok bool, why string) {
	if a.o.watchUnavailable {
		return false, "switched off"
	}
	return a.watcher.State()
}
