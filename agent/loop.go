package agent

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

const (
	// debounceQuiet is how long nothing must happen before the loop begins, and
	// restless how long it waits at most: a save is several events.
	debounceQuiet = 20 * time.Millisecond
	debounceMax   = 100 * time.Millisecond
	// resyncWatched and resyncUnwatched are how often everything is looked at
	// when nothing happens.
	resyncWatched   = time.Minute
	resyncUnwatched = 10 * time.Second
	// retryFirst and retryLast bound the pause after a failure.
	retryFirst = 500 * time.Millisecond
	retryLast  = 10 * time.Second
	// firstAnswers is how long the first turn waits for tokens and probes.
	firstAnswers = 3 * time.Second
)

// loop goes round until ctx is done.
func (a *Agent) loop(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	retried := time.Now()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-a.wake:
			a.debounce(ctx, spacing(a.state.noopRuns))
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
		a.watchdog()
		pause := a.reconcileOnce(ctx)
		a.watchdog()
		timer.Reset(pause)
	}
}

// spacing is how long the loop rests though it is woken, after so many turns in
// a row that found nothing to do: somebody who writes to a watched directory all
// the time, or a file that we leave to somebody else, may cost little.
func spacing(useless int) time.Duration {
	const free = 3 // our own writing wakes us too
	if useless <= free {
		return 0
	}
	return min(debounceQuiet<<min(useless-free, 10), time.Second)
}

// debounce waits for quiet, and at least as long as told.
func (a *Agent) debounce(ctx context.Context, least time.Duration) {
	if least > 0 {
		select {
		case <-ctx.Done():
			return
		case <-time.After(least):
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

// pause says how long nothing may happen until everything is looked at again.
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
	// Nodes that were started together do not stay together.
	return resync - rand.N(resync/10+1)
}

// watching tells whether inotify sees everything, and else why not.
func (a *Agent) watching() (ok bool, why string) {
	if a.o.watchUnavailable {
		return false, "switched off"
	}
	return a.watcher.State()
}
