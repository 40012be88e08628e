package install

import (
	"context"
	"fmt"
	"path"

	"github.com/berth-registry/berth/internal/managedfile"
	"github.com/berth-registry/berth/internal/managedfile/record"
	"github.com/berth-registry/berth/node"
)

// removal is the change that removes a file of Berth.
func removal(o managedfile.Observed) []managedfile.Change {
	return []managedfile.Change{{Action: managedfile.Remove, Path: o.Path, Before: o}}
}

// uninstallContainerd plans how to undo the wiring of containerd.
func (in *Installer) uninstallContainerd(ctx context.Context) Section {
	c := in.engine
	s := Section{Name: daemonContainerd}
	all, err := in.undo(scopeContainerd)
	if err != nil {
		s.Err = err
		return s
	}
	s.Changes = in.changes(all)
	r, due, err := in.restartOf(ctx, c, len(s.Changes) > 0)
	switch {
	case err != nil:
		s.Err = err
		return s
	case len(all) == 0 && !due:
		s.Found = append(s.Found, "nothing of containerd's configuration is Berth's")
		return s
	}
	s.Found = append(s.Found, checkContainerd(c))
	if n := in.hostsFiles(c); n > 0 {
		s.Notes = append(s.Notes, fmt.Sprintf("hosts.toml files of Berth below %s that will not be read any more: %d; \"berth restore\" puts that directory back", c.CertsDir(), n))
	}
	if s.Restart = r; r == nil && len(all) == 0 {
		s.Notes = append(s.Notes, "containerd is still to be restarted")
		return s
	}
	if r == nil && len(s.Changes) > 0 {
		s.Notes = append(s.Notes, in.noRestartNote(c))
	}
	s.do = func(ctx context.Context) error { return in.unwire(ctx, c, all, r) }
	return s
}

// hostsFiles counts the hosts.toml files of Berth that containerd reads now.
func (in *Installer) hostsFiles(c node.Containerd) int {
	if c.CertsDir() == "" {
		return 0
	}
	n := 0
	for _, file := range node.List(in.machine.Root, path.Join(c.CertsDir(), "*", "hosts.toml")) {
		raw, err := in.machine.Root.ReadFile(file)
		if err == nil && len(record.WithoutMarker(raw)) < len(raw) {
			n++
		}
	}
	return n
}

// unwire undoes the wiring of containerd, restarts it and checks that it becomes ready.
func (in *Installer) unwire(ctx context.Context, c node.Containerd, all []undoStep, r *Restart) error {
	now := in.identity(ctx, c.Unit, c.PID)
	if len(all) > 0 {
		if r != nil {
			if err := in.markRestartPending(daemonContainerd, now); err != nil {
				return err
			}
		}
		if err := in.transfer(ctx, scopeContainerd, all); err != nil {
			return err
		}
	}
	if r == nil {
		return in.restartDone(daemonContainerd)
	}
	if err := in.restartContainerd(ctx, c, r, "", now); err != nil {
		return fmt.Errorf("the files are as they were before berth, and %w", err)
	}
	in.say("checked: containerd is ready")
	return in.restartDone(daemonContainerd)
}
