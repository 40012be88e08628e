package install

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/berth-registry/berth/internal/containerdconf"
	"github.com/berth-registry/berth/internal/managedfile"
	"github.com/berth-registry/berth/node"
	"github.com/berth-registry/berth/node/install/edit"
)

const daemonContainerd = "containerd"

// errNoContainerd: the node has no containerd to wire.
var errNoContainerd = errors.New("no containerd was found: no process, no service, no configuration; install it first, or run this where it runs")

// installContainerd plans the wiring of containerd.
func (in *Installer) installContainerd(ctx context.Context) Section {
	c := in.engine
	s := Section{Name: daemonContainerd}
	if c.Absent(in.machine) {
		s.Err = errNoContainerd
		return s
	}
	s.Found = append(s.Found, checkContainerd(c))
	certsDir := in.o.CertsDir
	if c.Verdict.Honoured || certsDir == containerdconf.DefaultCertsDir {
		certsDir = "" // keep the configured directory, or use that of the distribution
	}
	w, err := node.Wire(c, node.Options{CertsDir: certsDir, DropMirrors: in.o.DropMirrors})
	if err != nil {
		s.Err = err
		return s
	}
	for _, t := range c.Verdict.Issues {
		if t.Blocking && len(w.Files) > 0 {
			s.Found = append(s.Found, t.Where+": "+t.Detail)
		}
	}
	if in.o.CertsDir != "" && in.o.CertsDir != w.CertsDir {
		s.Notes = append(s.Notes, fmt.Sprintf("hosts.toml files are read from %s, and the config writes them to %s: set containerd.certsDir: %s", w.CertsDir, in.o.CertsDir, w.CertsDir))
	}
	r, due, err := in.restartOf(ctx, c, len(w.Files) > 0)
	switch {
	case err != nil:
		s.Err = err
		return s
	case len(w.Files) == 0 && !due:
		s.Found = append(s.Found, fmt.Sprintf("hosts.toml files are read from %s already; there is nothing to do", w.CertsDir))
		if note := in.notLoaded(c); note != "" {
			s.Notes = append(s.Notes, note)
		}
		return s
	case len(w.Files) == 0:
		s.Found = append(s.Found, "an earlier run was stopped before containerd was restarted and checked")
	}
	for _, f := range w.Files {
		s.Changes = append(s.Changes, shownChange(f))
	}
	if s.Restart = r; r == nil && len(w.Files) == 0 {
		s.Notes = append(s.Notes, "containerd is still to be restarted")
		return s
	}
	if r == nil {
		s.Notes = append(s.Notes, in.noRestartNote(c))
	}
	s.do = func(ctx context.Context) error { return in.wire(ctx, c, w, r) }
	return s
}

func checkContainerd(c node.Containerd) string {
	text := "containerd " + c.Release.String()
	if c.PID != 0 {
		text += fmt.Sprintf(", process %d", c.PID)
	}
	if c.Unit != "" {
		text += ", " + c.Unit
	}
	return text + ", " + c.Configured()
}

// shownChange converts a change of the configuration for display.
func shownChange(f containerdconf.FileChange) Change {
	what := "change"
	if f.Before == nil {
		what = "write"
	}
	return Change{Path: f.Path, What: what, Before: f.Before, After: f.After, Foreign: !f.DropIn}
}

// restartOf finds out whether containerd must be restarted, and which unit does it. due is true if
// an earlier run left the restart to do. r is nil if no restart is needed, or if this run must not
// do it.
func (in *Installer) restartOf(ctx context.Context, c node.Containerd, changes bool) (r *Restart, due bool, err error) {
	noted, ok := in.journal.RestartPending[daemonContainerd]
	state, asked := in.state(ctx, c.Unit)
	running := c.PID != 0 || asked && state.Active != "inactive" && state.Active != "failed"
	if ok && running {
		due = noted.same(in.identity(ctx, c.Unit, c.PID))
		if !due && !in.o.NoRestart {
			s, err := in.status(ctx, c)
			due = err != nil || !s.Ready
		}
	}
	if ok && !due {
		in.drop(daemonContainerd)
	}
	if !running || !changes && !due || in.o.NoRestart {
		return nil, due && running, nil
	}
	r = &Restart{
		Unit: c.Unit, Why: "containerd reads its configuration only when it starts",
		Means: "running containers keep running; image pulls and new pods wait for some seconds",
	}
	switch {
	case c.Layout == node.K0s && changes:
		r.Unit = ""
		r.Why = "k0s restarts containerd by itself when its configuration changes"
	case asked && c.Unit != "":
	case in.o.Services == nil:
		err = fmt.Errorf("containerd runs (process %d), and there is no systemd to restart it; add --no-restart, and restart it yourself", c.PID)
	default:
		err = fmt.Errorf("containerd runs (process %d), and not as a service of systemd; add --no-restart, and restart it yourself", c.PID)
	}
	return r, due, err
}

func (in *Installer) noRestartNote(c node.Containerd) string {
	if in.o.NoRestart && (c.PID != 0 || c.Unit != "") {
		return "it takes effect when containerd is restarted, which is left to you"
	}
	return "containerd does not run here; it takes effect when it starts"
}

// notLoaded warns that the running containerd may not have read files that are on the node and that
// Berth did not write.
func (in *Installer) notLoaded(c node.Containerd) string {
	if changed := node.ChangedSince(in.machine, c); len(changed) > 0 {
		return fmt.Sprintf("%s was changed after containerd was started; restart containerd, unless that was done since", changed[0])
	}
	return ""
}

// wire writes the files of the plan, restarts containerd and checks that it becomes ready.
func (in *Installer) wire(ctx context.Context, c node.Containerd, w containerdconf.Wiring, r *Restart) error {
	known, err := in.recorded(scopeContainerd)
	if err != nil {
		return err
	}
	before := in.journal.clone()
	now := in.identity(ctx, c.Unit, c.PID)
	if len(w.Files) > 0 {
		if err := in.writeContainerd(ctx, w, now); err != nil {
			return in.giveUp(ctx, err, before, w, len(known) == 0)
		}
	}
	if r == nil {
		if c.PID == 0 && !in.o.NoRestart {
			return in.restartDone(daemonContainerd)
		}
		return nil // the journal keeps the pending restart
	}
	err = in.restartContainerd(ctx, c, r, w.Verdict.ConfigPath, now)
	if err == nil {
		in.say("checked: containerd is ready and reads hosts.toml files from %s", w.CertsDir)
		return in.restartDone(daemonContainerd)
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%w; the files are written, run it again to continue", err)
	}
	return in.rollback(ctx, err, c, r, func(ctx context.Context) error {
		return in.revert(ctx, before, w, len(known) == 0 || len(w.Files) == 0)
	})
}

// writeContainerd writes the files of a wiring. Before that it writes to the journal what a later
// run needs to know about them.
func (in *Installer) writeContainerd(ctx context.Context, w containerdconf.Wiring, now identity) error {
	var files []wanted
	for _, f := range w.Files {
		file := wanted{scope: scopeContainerd, path: f.Path, before: f.Before, body: f.After}
		if f.DropIn {
			file.comment = "#"
		} else {
			e, err := edit.ForConfig(f, in.earlier(f.Path, f.Before))
			if err != nil {
				return fmt.Errorf("%s: %w", f.Path, err)
			}
			in.journal.Edits[f.Path] = e
		}
		files = append(files, file)
	}
	if err := in.step("note containerd"); err != nil {
		return err
	}
	if err := in.markRestartPending(daemonContainerd, now); err != nil {
		return err
	}
	return in.write(ctx, files...)
}

// giveUp gives up after a write that failed: it puts the written files back.
func (in *Installer) giveUp(ctx context.Context, cause error, before journal, w containerdconf.Wiring, first bool) error {
	if ctx.Err() != nil {
		return cause
	}
	return errors.Join(cause, in.revert(ctx, before, w, first))
}

// revert puts the files of a wiring back as they were before this run. first is true if Berth had
// no file there before it.
func (in *Installer) revert(ctx context.Context, before journal, w containerdconf.Wiring, first bool) error {
	if first {
		all, err := in.undo(scopeContainerd)
		if err == nil {
			err = in.transfer(ctx, scopeContainerd, all)
		}
		return err
	}
	snap, err := in.recorded(scopeContainerd)
	if err != nil {
		return err
	}
	for _, f := range w.Files {
		now, err := in.machine.Root.ReadFile(f.Path)
		switch {
		case f.Before == nil:
			i := slices.IndexFunc(snap, func(o managedfile.Observed) bool { return o.Path == f.Path })
			if i >= 0 {
				err = in.apply(ctx, scopeContainerd, removal(snap[i]))
			}
		case err == nil && edit.Hash(now) != edit.Hash(f.Before):
			err = in.write(ctx, wanted{scope: scopeContainerd, path: f.Path, before: now, body: f.Before})
		}
		if err != nil {
			return err
		}
	}
	in.journal = before
	return in.save()
}

// restartContainerd restarts containerd, or waits until another program has restarted it, and then
// waits until it is ready.
func (in *Installer) restartContainerd(ctx context.Context, c node.Containerd, r *Restart, configPath string, before identity) error {
	if r.Unit == "" {
		return in.awaitRuntime(ctx, c, configPath, func() bool {
			now, err := node.Discover(ctx, in.machine)
			return err == nil && now.PID != 0 && !before.same(in.identity(ctx, "", now.PID))
		})
	}
	if err := in.restart(ctx, r.Unit); err != nil {
		return err
	}
	return in.awaitRuntime(ctx, c, configPath, nil)
}

// rollback undoes the changes after a failed restart, restarts once more, and returns both errors.
func (in *Installer) rollback(ctx context.Context, cause error, c node.Containerd, r *Restart, revert func(context.Context) error) error {
	in.say("it failed: %v", cause)
	in.say("putting everything back")
	if err := revert(ctx); err != nil {
		return &RollbackError{Cause: cause, Err: err}
	}
	if err := in.restartContainerd(ctx, c, r, "", in.identity(ctx, c.Unit, c.PID)); err != nil {
		return &RollbackError{Cause: cause, Err: err}
	}
	if err := in.restartDone(daemonContainerd); err != nil {
		return &RollbackError{Cause: cause, Err: err}
	}
	return &RollbackError{Cause: cause}
}

// RollbackError is returned if a change failed and was undone.
type RollbackError struct {
	Cause error
	// Err is the error of undoing it; nil if everything is as before.
	Err error
}

// Error has both errors.
func (e *RollbackError) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("%v; everything was put back, and it runs as before", e.Cause)
	}
	return fmt.Sprintf("%v; putting it back failed too: %v", e.Cause, e.Err)
}

// Unwrap returns both errors.
func (e *RollbackError) Unwrap() []error {
	if e.Err == nil {
		return []error{e.Cause}
	}
	return []error{e.Cause, e.Err}
}
