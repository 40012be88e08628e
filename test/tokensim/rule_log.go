package tokensim

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// logRule checks that the log is not flooded: no warning may be logged twice within ten minutes.
type logRule struct {
	checker *checker

	mu    sync.Mutex
	lines int
	said  map[string]time.Time
}

const mostOften = 10 * time.Minute

func (l *logRule) Enabled(context.Context, slog.Level) bool { return true }
func (l *logRule) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l *logRule) WithGroup(string) slog.Handler            { return l }

func (l *logRule) Handle(_ context.Context, r slog.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines++
	if r.Level < slog.LevelWarn {
		return nil
	}
	key := r.Message
	r.Attrs(func(a slog.Attr) bool {
		switch a.Key {
		case "service", "region", "registry", "reason":
			key += " " + a.Value.String()
		}
		return true
	})
	now := time.Now()
	if last, ok := l.said[key]; ok && now.Sub(last) < mostOften {
		l.checker.mu.Lock()
		l.checker.violation(RuleLog, "logged again after %s: %s", now.Sub(last), key)
		l.checker.mu.Unlock()
	}
	l.said[key] = now
	return nil
}

// forget is called when a new refresher starts.
func (l *logRule) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.said)
}
