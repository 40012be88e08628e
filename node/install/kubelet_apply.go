package install

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/berth-registry/berth/node/install/edit"
	"github.com/berth-registry/berth/node/providerconfig"
)

// restartKubelet finds out whether kubelet must be restarted. due is true if an earlier run left
// the restart to do. r is nil if no restart is needed, or if this run must not do it.
func (in *Installer) restartKubelet(ctx context.Context, k kubeletNode, changes bool) (r *Restart, due bool, err error) {
	noted, ok := in.journal.RestartPending[daemonKubelet]
	state, asked := in.state(ctx, k.service.Name)
	running := k.runs || asked && state.Active != "inactive" && state.Active != "failed"
	if ok && running {
		due = noted.same(in.identity(ctx, k.service.Name, k.running.PID)) || asked && state.Active != "active"
	}
	if ok && !due {
		in.drop(daemonKubelet)
	}
	if !running || !changes && !due || in.o.NoRestart {
		return nil, due && running, nil
	}
	r = &Restart{
		Unit: k.service.Name, Why: "kubelet reads its flags and providers only when it starts",
		Means: "pods keep running; kubelet does not manage the node for some seconds",
	}
	if !asked {
		err = fmt.Errorf("kubelet runs (process %d), and not as a service of a systemd that answers; add --no-restart, and restart it yourself", k.running.PID)
	}
	return r, due, err
}

func (in *Installer) noKubeletRestart(k kubeletNode) string {
	if in.o.NoRestart && k.runs {
		return "it takes effect when kubelet is restarted, which is left to you"
	}
	return "kubelet does not run here; it takes effect when it starts"
}

// doKubelet writes the programs, then the configuration that names it, then the flags that name the
// configuration, so that kubelet starts whenever this is stopped.
func (in *Installer) doKubelet(ctx context.Context, k kubeletNode, w kubeletWiring, r *Restart) error {
	before := in.journal.clone()
	err := in.writeKubelet(ctx, k, w)
	if err == nil && r == nil {
		if !k.runs {
			return in.restartDone(daemonKubelet)
		}
		return nil // the journal keeps the pending restart
	}
	if err == nil {
		err = in.applyAndRestartKubelet(ctx, r)
		if err == nil {
			in.say("checked: kubelet runs with %s", providerconfig.Provider)
			return in.restartDone(daemonKubelet)
		}
	} else {
		r = nil // kubelet still runs as before
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%w; run it again to continue", err)
	}
	in.say("it failed: %v", err)
	in.say("putting everything back")
	return &RollbackError{Cause: err, Err: in.revertKubelet(ctx, before, w, r)}
}

func (in *Installer) writeKubelet(ctx context.Context, k kubeletNode, w kubeletWiring) error {
	if err := in.put(w.programs); err != nil {
		return err
	}
	if w.config == nil && w.flags == nil && !w.dropFlags {
		return nil
	}
	if err := in.step("note kubelet"); err != nil {
		return err
	}
	if w.edit != nil {
		in.journal.Edits[w.config.path] = *w.edit
	}
	in.journal.Stale = in.o.Services != nil && (w.flags != nil || w.dropFlags)
	if err := in.markRestartPending(daemonKubelet, in.identity(ctx, k.service.Name, k.running.PID)); err != nil {
		return err
	}
	if w.config != nil {
		if err := in.write(ctx, *w.config); err != nil {
			return err
		}
	}
	switch {
	case w.flags != nil:
		if err := in.write(ctx, *w.flags); err != nil {
			return err
		}
	case w.dropFlags:
		if err := in.undoAll(ctx, scopeFlags); err != nil {
			return err
		}
	default:
		return nil
	}
	return in.reload(ctx)
}

// reload makes systemd reload its files, if there is a systemd.
func (in *Installer) reload(ctx context.Context) error {
	if in.o.Services == nil {
		return nil
	}
	if err := in.step("reload"); err != nil {
		return err
	}
	if err := in.o.Services.Reload(ctx); err != nil {
		return err
	}
	in.journal.Stale = false
	return in.save()
}

// undoAll puts the files of an area back as they were.
func (in *Installer) undoAll(ctx context.Context, scope string) error {
	all, err := in.undo(scope)
	if err != nil {
		return err
	}
	return in.transfer(ctx, scope, all)
}

// applyAndRestartKubelet restarts kubelet and waits until it stays up.
func (in *Installer) applyAndRestartKubelet(ctx context.Context, r *Restart) error {
	if err := in.restart(ctx, r.Unit); err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, in.o.ReadyTimeout)
	defer cancel()
	invocation, since := "", time.Time{}
	for {
		state, err := in.o.Services.State(limited, r.Unit)
		switch {
		case err != nil && ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			return err
		case state.Active == "failed":
			return fmt.Errorf("%s failed after its restart; see journalctl -u %s", r.Unit, r.Unit)
		case invocation != "" && (state.Active != "active" || state.Invocation != invocation):
			return fmt.Errorf("%s stopped again after its restart; see journalctl -u %s", r.Unit, r.Unit)
		case state.Active == "active" && invocation == "":
			invocation, since = state.Invocation, time.Now()
		case state.Active == "active" && time.Since(since) >= in.o.SettleTime:
			return nil
		}
		select {
		case <-limited.Done():
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return fmt.Errorf("%s was not up within %v; see journalctl -u %s", r.Unit, in.o.ReadyTimeout, r.Unit)
		case <-time.After(min(poll, in.o.SettleTime)):
		}
	}
}

// revertKubelet undoes what this run wrote: flags, configuration, restart, programs.
func (in *Installer) revertKubelet(ctx context.Context, before journal, w kubeletWiring, r *Restart) error {
	for _, f := range []*wanted{w.flags, w.config} {
		if f == nil {
			continue
		}
		if err := in.revertFile(ctx, f); err != nil {
			return err
		}
		if f.scope == scopeFlags {
			if err := in.reload(ctx); err != nil {
				return err
			}
		}
	}
	if r != nil {
		if err := in.applyAndRestartKubelet(ctx, r); err != nil {
			return err
		}
	}
	// A program that was there before stays in its new version, and then the other one must, too.
	stay := slices.ContainsFunc(w.programs, func(c copying) bool { _, ours := before.Programs[c.to]; return ours })
	for _, c := range slices.Backward(w.programs) {
		if stay {
			break
		}
		if err := in.removeProgram(c.to); err != nil {
			return err
		}
	}
	return in.restartDone(daemonKubelet)
}

// revertFile puts one file back as it was before this run.
func (in *Installer) revertFile(ctx context.Context, f *wanted) error {
	now, err := in.machine.Root.ReadFile(f.path)
	if err == nil && edit.Hash(now) == edit.Hash(f.before) {
		return nil // it was not written
	}
	if f.before != nil && f.comment != "" {
		// An older file of Berth: written without its first line, which is added again.
		return in.write(ctx, wanted{scope: f.scope, path: f.path, before: now, body: body(f.before), comment: f.comment})
	}
	return in.undoAll(ctx, f.scope)
}
