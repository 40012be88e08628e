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

// apart is how far the two clocks may drift apart before step looks at every entry.
const apart = 100 * time.Millisecond

// maxSleep is longer than any wait.
const maxSleep = 24 * time.Hour

// callLimit is longer than any call of a source takes by its own time limits.
const callLimit = 30 * time.Second

// clockSlack is how far the wall clock may be set back before recorded times are doubted.
const clockSlack = time.Minute

// loop runs step until ctx is done, and waits for the goroutines that it started.
func (k *Refresher) loop(ctx context.Context) {
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
			if wait, idle := k.idle(); idle {
				timer.Reset(wait)
				continue
			}
		case <-k.wake:
		}
		k.mu.Lock()
		wait := k.step(ctx, &calls)
		lines, news := k.lines, k.news
		k.lines, k.news = nil, false
		k.mu.Unlock()
		for _, l := range lines {
			k.log.LogAttrs(ctx, l.level, l.message, l.attrs...)
		}
		if news {
			k.changed()
		}
		timer.Reset(min(wait, tick))
	}
}

// idle reports whether nothing is due yet, and for how long. Most wake-ups end here.
func (k *Refresher) idle() (time.Duration, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	c := k.clock()
	wait := k.due.Sub(c.mono)
	return min(wait, tick), wait > 0 && c.jump(k.last).Abs() < apart
}

// step observes the effect of time on the entries, starts the tasks that are due, and returns how
// long nothing else will be due.
func (k *Refresher) step(ctx context.Context, calls *sync.WaitGroup) time.Duration {
	c := k.clock()
	jump := c.jump(k.last)
	jumped := jump.Abs() >= apart
	if jumped {
		k.last = c
	}
	if jump < -clockSlack {
		k.clockWentBack(c, jump)
	}
	wait, crowded := k.stepScan(ctx, calls, c), false
	first := k.turn
	for i := range k.order {
		at := (first + i) % len(k.order)
		e := k.order[at]
		if jumped || !c.mono.Before(e.due) {
			k.observe(e, c)
			e.due = c.mono
			switch what := e.next(c); {
			case what == noTask || k.source == nil:
				e.due = e.due.Add(e.wait(c, k.source != nil))
			case k.inFlight < maxInFlight:
				k.start(ctx, calls, e, what, c)
				e.due = e.due.Add(e.wait(c, true))
			case !crowded:
				// The first entry that found no free slot is first next time.
				crowded, k.turn = true, at
			}
		}
		if d := e.due.Sub(c.mono); d > 0 {
			wait = min(wait, d)
		}
	}
	k.evictExpired(c)
	k.due = c.mono.Add(max(wait, 0))
	return wait
}

// observe notices that a token reached its end, and that this or a failure became an alarm.
func (k *Refresher) observe(e *entry, c clock) {
	if good := e.held.good(c); good != e.served {
		e.served = good // true again if the clock was wrong for a while
		k.news = true
		if !good {
			k.wasDropped(e, c)
			k.sayGone(e, c)
		}
	}
	if alarmed := e.alarm(c) != ""; alarmed != e.alarmed {
		e.alarmed = alarmed
		k.news = true
		k.sayAlarm(e, c)
	}
}

// wasDropped shortens a pause that was drawn while there was a token.
func (k *Refresher) wasDropped(e *entry, c clock) {
	if e.failures == 0 {
		return
	}
	if most := c.mono.Add(mostAskedWithout); e.obeyed.After(most) {
		e.obeyed = most
	}
	from := c.mono
	if e.obeyed.After(from) {
		from = e.obeyed
	}
	soon := from.Add(pause(e.failures, limit(e.err, false), k.rnd()))
	if soon.Before(e.notBefore) {
		e.notBefore = soon
	}
}

// evictExpired drops adopted entries whose token is no longer good. The credential provider fetches
// a new one when it needs it.
func (k *Refresher) evictExpired(c clock) {
	dropped := false
	for _, e := range k.order {
		if !e.wanted && !e.calling && !e.served {
			k.sayDropped(e)
			k.drop(e, c)
			dropped = true
		}
	}
	if dropped {
		k.sort()
		k.news = true
	}
}

// clockWentBack makes every token due for renewal: other processes judge them by issue and expiry
// times of a clock that was wrong.
func (k *Refresher) clockWentBack(c clock, jump time.Duration) {
	k.sayClock(c, jump)
	for _, e := range k.order {
		if !e.held.none() {
			e.held.renew = c.at(c.wall)
			e.due = time.Time{}
		}
	}
}

// start runs a task in a goroutine. The caller holds the lock.
func (k *Refresher) start(ctx context.Context, calls *sync.WaitGroup, e *entry, what task, c clock) {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	job := taskRun{
		what: what, source: k.source, registry: e.registry,
		held: e.held.token, heldGood: e.held.good(c), due: e.held.renew.reached(c), fresh: e.fresh,
	}
	e.calling, e.cancel = true, cancel
	e.peek, e.look = false, false
	k.inFlight++
	calls.Go(func() {
		defer cancel()
		answer := job.do(ctx)
		k.finish(ctx, e, answer)
	})
}

// finish records the answer of a task, unless the entry was replaced.
func (k *Refresher) finish(ctx context.Context, e *entry, a answer) {
	k.mu.Lock()
	defer k.mu.Unlock()
	defer k.wakeUp()
	k.inFlight--
	e.calling, e.cancel, e.due = false, nil, time.Time{}
	if k.entries[e.scope] != e {
		return // the source changed, or the entry was dropped
	}
	c := k.clock()
	if a.called {
		e.calls++
	}
	// The credentials count as new until a token came of them.
	e.fresh = e.fresh && (a.err != nil || a.what != renewToken)
	switch {
	case a.got:
		k.take(e, c, a)
	case a.err != nil && !errors.Is(ctx.Err(), context.Canceled):
		k.failed(e, c, a.err)
	}
}
