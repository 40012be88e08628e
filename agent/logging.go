package agent

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"

	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/internal/managedfile"
	"github.com/berth-registry/berth/node/reconcile"
)

// logPass logs the result of a pass where it differs from the pass before: a loop that fails
// the same way each second logs it once.
func (a *Agent) logPass(ctx context.Context, r configReading, err error) {
	a.logIfChanged(ctx, &a.logged.config, r.err, "config cannot be used", "config can be used again", slog.Bool("last_good_in_use", r.cfg != nil))
	if text := string(a.source.lastText); r.err == nil && text != a.logged.text {
		a.logged.text = text
		a.log.InfoContext(ctx, "config in use", "path", a.node.ConfigName(a.o.ConfigPath), "upstreams", len(r.cfg.AllMirrors()))
	}
	if r.err == nil {
		a.logWarnings(ctx, r.warnings)
	}
	if errors.Is(err, errWarmingUp) {
		return
	}
	a.logIfChanged(ctx, &a.logged.converge, err, "node differs from the config; retrying", "node matches the config again")
}

// logWarnings logs the warnings that the last pass did not have. A file that the config names
// can cause them too.
func (a *Agent) logWarnings(ctx context.Context, warnings []config.Warning) {
	now := map[string]bool{}
	for _, w := range warnings {
		text := w.String()
		if now[text] = true; !a.logged.warnings[text] {
			a.log.WarnContext(ctx, "config warning", "warning", text)
		}
	}
	a.logged.warnings = now
}

// logged is what was last logged of each kind, so that it is not repeated.
type logged struct {
	text             string // text of the config
	config, converge string
	holder, lock     string // holder of the agent's lock, and the error of taking it
	conflicts        map[string]string
	warnings         map[string]bool
}

// logIfChanged logs an error when its text differs from the last time, one record for each line,
// and logs recovered when there is no error any more.
func (a *Agent) logIfChanged(ctx context.Context, before *string, err error, failed, recovered string, attrs ...slog.Attr) {
	now := ""
	if err != nil {
		now = err.Error()
	}
	switch {
	case now == *before:
	case now == "":
		a.log.InfoContext(ctx, recovered)
	default:
		for line := range strings.Lines(now) {
			a.log.LogAttrs(ctx, slog.LevelError, failed, append(slices.Clone(attrs), slog.String("error", strings.TrimSuffix(line, "\n")))...)
		}
	}
	*before = now
}

// logResult logs the changes on the node, and the conflicts that are new.
func (a *Agent) logResult(ctx context.Context, r reconcile.Result) {
	a.logReport(ctx, r.Report)
	now := map[string]string{}
	for _, c := range r.Report.Conflicts {
		now[c.Path] = c.Reason
		if a.logged.conflicts[c.Path] != c.Reason {
			a.log.WarnContext(ctx, "conflict: file is not changed", "path", c.Path, "reason", c.Reason)
		}
	}
	a.logged.conflicts = now
}

// maxFilesLogged is the number of changed files up to which a pass logs a record for each.
const maxFilesLogged = 20

func (a *Agent) logReport(ctx context.Context, r managedfile.Report) {
	changed := r.Changed
	if len(changed) > maxFilesLogged {
		counts := map[string]int{}
		for _, c := range changed {
			counts[string(c.Action)]++
		}
		a.log.InfoContext(ctx, "many files changed", "files", len(changed), "actions", counts)
		changed = nil
	}
	for _, c := range changed {
		level := slog.LevelInfo
		if c.Action == managedfile.Repair {
			level = slog.LevelWarn
		}
		a.log.LogAttrs(ctx, level, "file changed", slog.String("action", string(c.Action)), slog.String("path", c.Path), slog.String("reason", c.Reason))
	}
	for _, s := range r.Saved {
		a.log.WarnContext(ctx, "foreign content is saved", "path", s.Path, "copy", s.Copy, "why", string(s.Why))
	}
}
