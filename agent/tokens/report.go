package tokens

import (
	"log/slog"
	"time"
)

// remindEvery is how often the log repeats a reason.
const remindEvery = 10 * time.Minute

// line is an entry for the log, written after the lock is released.
type line struct {
	level   slog.Level
	message string
	attrs   []slog.Attr
}

func (k *Refresher) say(level slog.Level, message string, attrs ...slog.Attr) {
	k.lines = append(k.lines, line{level, message, attrs})
}

// first reports whether what was not logged within remindEvery, and records it.
func (e *entry) first(what string, now time.Time) bool {
	if last, ok := e.said[what]; ok && now.Sub(last) < remindEvery {
		return false
	}
	e.said[what] = now
	return true
}

func (e *entry) attrs(more ...slog.Attr) []slog.Attr {
	return append([]slog.Attr{
		slog.String("service", string(e.scope.service)), slog.String("region", e.scope.region),
	}, more...)
}

func (k *Refresher) sayTaken(e *entry, a answer) {
	level, message := slog.LevelDebug, "ECR token renewed"
	if !a.called {
		message = "ECR token taken from another process"
	}
	if e.warned {
		level, e.warned = slog.LevelInfo, false
	}
	k.say(level, message, e.attrs(slog.String("source", a.token.Source), slog.Time("expires", a.token.Expires),
		slog.Int("failures", e.failures))...)
}

func (k *Refresher) sayFailed(e *entry, c clock, err error) {
	why := reason(err)
	if !e.first(why, c.mono) {
		return
	}
	level := slog.LevelWarn
	if !e.wanted {
		level = slog.LevelInfo
	}
	e.warned = true
	attrs := e.attrs(slog.String("reason", why), slog.Int("failures", e.failures), slog.Any("error", err))
	if e.held.good(c) {
		attrs = append(attrs, slog.Time("served_until", e.held.token.UsableUntil()))
	}
	k.say(level, "ECR token renewal failed", attrs...)
}

// sayAlarm logs that a token that existed ends. That there is none yet was logged with the reason.
func (k *Refresher) sayAlarm(e *entry, c clock) {
	if !e.alarmed || e.held.none() {
		return
	}
	if e.held.good(c) {
		if e.first("near", c.mono) {
			e.warned = true
			k.say(slog.LevelWarn, "ECR token expires soon and cannot be renewed",
				e.attrs(slog.Time("served_until", e.held.token.UsableUntil()))...)
		}
		return
	}
	k.sayGone(e, c)
}

func (k *Refresher) sayGone(e *entry, c clock) {
	if e.wanted && e.first("gone", c.mono) {
		e.warned = true
		k.say(slog.LevelError, "ECR token is about to expire and is no longer served",
			e.attrs(slog.Time("expires", e.held.token.Expires))...)
	}
}

func (k *Refresher) sayDropped(e *entry) {
	k.say(slog.LevelInfo, "ECR token of the credential provider is no longer kept fresh", e.attrs()...)
}

func (k *Refresher) sayAdopted(e *entry) {
	k.say(slog.LevelDebug, "ECR token of another process is kept fresh", e.attrs(slog.Time("expires", e.held.token.Expires))...)
}

func (k *Refresher) sayClock(c clock, jump time.Duration) {
	if !k.clockSaid.IsZero() && c.mono.Sub(k.clockSaid) < remindEvery {
		return
	}
	k.clockSaid = c.mono
	k.say(slog.LevelWarn, "the clock was set back: renewing all ECR tokens", slog.Duration("by", -jump))
}

// sayScan logs an error of reading the store once, until it changes.
func (k *Refresher) sayScan(err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text != "" && text != k.scan.said {
		k.say(slog.LevelWarn, "stored ECR tokens cannot be listed", slog.Any("error", err))
	}
	k.scan.said = text
}
