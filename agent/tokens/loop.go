package tokens

import (
	"context"
	"errors"
	"sync"
	"time"
)

// tick is the longest sleep: a timer does not notice that the wall clock was set forward or that
// the machine was suspended.
const tick = time.Minute

// clockTolerance is how far the two clocks may drift apart before step looks at every entry.
const clockTolerance = 100 * time.Millisecond

// maxSleep is longer than any wait.
const maxSleep = 24 * time.Hour

// callLimit is longer than any call of a source takes by its own time limits.
const callLimit = 30 * time.Second

// clockSlack is how far the wall clock may be set back before recorded times are doubted.
const clockSlack = time.Minute

// loop runs step until ctx is done, and waits for the goroutines that it started.
func (rf *Refresher) loop(ctx context.Context) {
	ctx, stop := context.WithCancel(ctx)
	var calls sync.WaitGroup
	defer calls.Wait()
	defer stop()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			if wait, idle := rf.idle(); idle {
				timer.Reset(wait)
				continue
			}
		case <-rf.wake:
		}
		rf.mu.Lock()
		wait := rf.step(ctx, &calls)
		lines, notify := rf.logLines, rf.notify
		rf.logLines, rf.notify = nil, false
		rf.mu.Unlock()
		for _, l := range lines {
			rf.logger.LogAttrs(ctx, l.level, l.message, l.attrs...)
		}
		if notify {
			rf.changed()
		}
		timer.Reset(min(wait, tick))
	}
}

// idle reports whether nothing is due yet, and for how long. Most wake-ups end here.
func (rf *Refresher) idle() (time.Duration, bool) {
	rf.mu.Lock()
	defer rf.mu.Unlock()
	c := rf.clock()
	wait := rf.due.Sub(c.mono)
	return min(wait, tick), wait > 0 && c.jump(rf.last).Abs() < clockTolerance
}

// step observes the effect of time on the entries, starts the tasks that are due, and returns how
// long nothing else will be due.
func (rf *Refresher) step(ctx context.Context, calls *sync.WaitGroup) time.Duration {
	c := rf.clock()
	jump := c.jump(rf.last)
	jumped := jump.Abs() >= clockTolerance
	if jumped {
		rf.last = c
	}
	if jump < -clockSlack {
		rf.clockWentBack(c, jump)
	}
	wait, crowded := rf.stepScan(ctx, calls, c), false
	first := rf.startAt
	for i := range rf.order {
		at := (first + i) % len(rf.order)
		e := rf.order[at]
		if jumped || !c.mono.Before(e.due) {
			rf.observe(e, c)
			e.due = c.mono
			switch kind := e.next(c); {
			case kind == noTask || rf.origin(e) == nil:
				e.due = e.due.Add(e.wait(c, rf.origin(e) != nil))
			case rf.inFlight < maxInFlight:
				rf.start(ctx, calls, e, kind, c)
				e.due = e.due.Add(e.wait(c, true))
			case !crowded:
				// The first entry that found no free slot is first next time.
				crowded, rf.startAt = true, at
			}
		}
		if d := e.due.Sub(c.mono); d > 0 {
			wait = min(wait, d)
		}
	}
	rf.evictExpired(c)
	rf.due = c.mono.Add(max(wait, 0))
	return wait
}

// observe notices that a token reached its end, and that this or a failure became an alarm.
func (rf *Refresher) observe(e *entry, c clock) {
	if good := e.held.good(c); good != e.served {
		e.served = good // true again if the clock was wrong for a while
		rf.notify = true
		if !good {
			rf.shortenPause(e, c)
			rf.logEnded(e, c)
		}
	}
	if alarmed := e.alarm(c) != ""; alarmed != e.alarmed {
		e.alarmed = alarmed
		rf.notify = true
		rf.logAlarm(e, c)
	}
}

// shortenPause shortens a pause that was drawn while there was a token.
func (rf *Refresher) shortenPause(e *entry, c clock) {
	if e.failures == 0 {
		return
	}
	if most := c.mono.Add(maxRetryAfterWithout); e.retryAfterEnd.After(most) {
		e.retryAfterEnd = most
	}
	from := c.mono
	if e.retryAfterEnd.After(from) {
		from = e.retryAfterEnd
	}
	soon := from.Add(pause(e.failures, limit(e.err, false), rf.random()))
	if soon.Before(e.notBefore) {
		e.notBefore = soon
	}
}

// evictExpired drops adopted entries whose token is no longer good. The credential provider fetches
// a new one when it needs it.
func (rf *Refresher) evictExpired(c clock) {
	dropped := false
	for _, e := range rf.order {
		if !e.wanted && !e.calling && !e.served {
			rf.logDropped(e)
			rf.drop(e, c)
			dropped = true
		}
	}
	if dropped {
		rf.sort()
		rf.notify = true
	}
}

// clockWentBack makes every token due for renewal: other processes judge them by issue and expiry
// times of a clock that was wrong.
func (rf *Refresher) clockWentBack(c clock, jump time.Duration) {
	rf.logClock(c, jump)
	for _, e := range rf.order {
		if !e.held.isZero() {
			e.held.renew = c.at(c.wall)
			e.due = time.Time{}
		}
	}
}

// start runs a task in a goroutine. The caller holds the lock.
func (rf *Refresher) start(ctx context.Context, calls *sync.WaitGroup, e *entry, kind task, c clock) {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	job := taskRun{
		task: kind, origin: rf.origin(e),
		held: e.held.token, heldGood: e.held.good(c), due: e.held.renew.reached(c), fresh: e.fresh,
	}
	e.calling, e.cancel = true, cancel
	e.checkStored, e.askBetter = false, false
	rf.inFlight++
	calls.Go(func() {
		defer cancel()
		answer := job.run(ctx)
		rf.finish(ctx, e, answer)
	})
}

// finish records the answer of a task, unless the entry was replaced.
func (rf *Refresher) finish(ctx context.Context, e *entry, a answer) {
	rf.mu.Lock()
	defer rf.mu.Unlock()
	defer rf.wakeUp()
	rf.inFlight--
	e.calling, e.cancel, e.due = false, nil, time.Time{}
	if rf.entries[e.scope] != e {
		return // the source changed, or the entry was dropped
	}
	c := rf.clock()
	if a.called {
		e.calls++
	}
	// The credentials count as new until a token came of them.
	e.fresh = e.fresh && (a.err != nil || a.task != renewToken)
	switch {
	case a.got:
		rf.take(e, c, a)
	case a.err != nil && !errors.Is(ctx.Err(), context.Canceled):
		rf.failed(e, c, a.err)
	}
}
