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

func (rf *Refresher) log(level slog.Level, message string, attrs ...slog.Attr) {
	rf.logLines = append(rf.logLines, line{level, message, attrs})
}

// shouldLog reports whether what was not logged within remindEvery, and records it.
func (e *entry) shouldLog(what string, now time.Time) bool {
	if last, ok := e.lastLogged[what]; ok && now.Sub(last) < remindEvery {
		return false
	}
	e.lastLogged[what] = now
	return true
}

// attrs begins with what tells e from every other entry.
func (e *entry) attrs(more ...slog.Attr) []slog.Attr {
	if e.helper != nil {
		return append([]slog.Attr{slog.String("registry", e.helper.Registry), slog.String("helper", e.helper.Program)}, more...)
	}
	attrs := []slog.Attr{
		slog.String("service", string(e.scope.service)), slog.String("region", e.scope.region),
	}
	if e.scope.chain != "" {
		attrs = append(attrs, slog.String("registry", e.registry.Host))
	}
	return append(attrs, more...)
}

func (rf *Refresher) logTaken(e *entry, a answer) {
	level, message := slog.LevelDebug, "ECR token renewed"
	switch {
	case e.helper != nil && a.called:
		message = "login of a credential helper renewed"
	case e.helper != nil:
		message = "stored login of a credential helper taken"
	case !a.called:
		message = "ECR token taken from another process"
	}
	if e.warned {
		level, e.warned = slog.LevelInfo, false
	}
	expires := a.token.Expires
	if e.helper != nil {
		expires = helperLogin(*e.helper, a.token).UsableUntil(e.helper.MaxStale)
	}
	rf.log(level, message, e.attrs(slog.String("source", a.token.Source),
		slog.Time("expires", expires), slog.Int("failures", e.failures))...)
}

func (rf *Refresher) logFailed(e *entry, c clock, why string, err error) {
	if !e.shouldLog(why, c.mono) {
		return
	}
	level := slog.LevelWarn
	if !e.wanted {
		level = slog.LevelInfo
	}
	e.warned = true
	attrs := e.attrs(slog.String("reason", why), slog.Int("failures", e.failures), slog.Any("error", err))
	if e.held.good(c) {
		attrs = append(attrs, slog.Time("served_until", e.held.ends.wall))
	}
	message := "ECR token renewal failed"
	if e.helper != nil {
		message = "credential helper gave no login"
	}
	rf.log(level, message, attrs...)
}

// logAlarm logs that a token that existed ends. That there is none yet was logged with the reason.
func (rf *Refresher) logAlarm(e *entry, c clock) {
	if !e.alarmed || e.held.isZero() {
		return
	}
	if e.held.good(c) {
		if e.shouldLog("near", c.mono) {
			e.warned = true
			message := "ECR token expires soon and cannot be renewed"
			if e.helper != nil {
				message = "login of a credential helper ends soon and cannot be renewed"
			}
			rf.log(slog.LevelWarn, message,
				e.attrs(slog.Time("served_until", e.held.ends.wall))...)
		}
		return
	}
	rf.logEnded(e, c)
}

func (rf *Refresher) logEnded(e *entry, c clock) {
	if e.wanted && e.shouldLog("gone", c.mono) {
		e.warned = true
		message, expires := "ECR token is about to expire and is no longer served", e.held.token.Expires
		if e.helper != nil {
			message, expires = "login of a credential helper has ended and is no longer served", e.held.ends.wall
		}
		rf.log(slog.LevelError, message, e.attrs(slog.Time("expires", expires))...)
	}
}

func (rf *Refresher) logDropped(e *entry) {
	rf.log(slog.LevelInfo, "ECR token of the credential provider is no longer kept fresh", e.attrs()...)
}

func (rf *Refresher) logAdopted(e *entry) {
	rf.log(slog.LevelDebug, "ECR token of another process is kept fresh",
		e.attrs(slog.Time("expires", e.held.token.Expires))...)
}

func (rf *Refresher) logClock(c clock, jump time.Duration) {
	if !rf.clockLogged.IsZero() && c.mono.Sub(rf.clockLogged) < remindEvery {
		return
	}
	rf.clockLogged = c.mono
	rf.log(slog.LevelWarn, "the clock was set back: renewing all ECR tokens", slog.Duration("by", -jump))
}

// logScan logs an error of reading the store once, until it changes.
func (rf *Refresher) logScan(err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text != "" && text != rf.scan.lastError {
		rf.log(slog.LevelWarn, "stored ECR tokens cannot be listed", slog.Any("error", err))
	}
	rf.scan.lastError = text
}
