package agent

import (
	"context"
	"errors"
	"time"

	"github.com/berth-registry/berth/agent/status"
	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/internal/managedfile"
)

// restore puts the node back as it was before Berth, retries what fails, and then stays until
// ctx is done, so that a DaemonSet with this mode has a ready pod on each node.
func (a *Agent) restore(ctx context.Context) error {
	for {
		a.recordProgress()
		if !a.stillLocked(ctx) {
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(relockEvery):
			}
			continue
		}
		begin := time.Now()
		report, err := a.node.RestoreAsAgent(ctx, a.configs()...)
		if err != nil && ctx.Err() != nil {
			return nil
		}
		a.logReport(ctx, report)
		a.state.recordRestore(begin, report, err)
		pause := stuckAfter / 3
		if err != nil {
			pause = a.pause(err)
		} else {
			a.markReady()
		}
		a.logIfChanged(ctx, &a.logged.converge, err, "restore failed; retrying", "node is restored")
		a.publish()
		select {
		case <-ctx.Done():
			return nil
		case <-a.wake:
		case <-time.After(pause):
		}
	}
}

// configs returns the configs whose directories are searched for Berth's files without a record:
// the default, and the one in use.
func (a *Agent) configs() []*config.Config {
	configs := []*config.Config{config.Default()}
	if r := a.source.read(); r.cfg != nil {
		configs = append(configs, r.cfg)
	}
	return configs
}

// recordRestore records the result of a restore. Files that are foreign by now are left
// alone, and are no error.
func (s *state) recordRestore(begin time.Time, r managedfile.Report, err error) {
	f := &s.snapshot.Files
	for _, c := range r.Changed {
		if c.Action == managedfile.Remove {
			f.Removed++
		}
	}
	f.Skipped = fileNotes(f.Skipped, r.Skipped, begin)
	if err == nil && len(r.Skipped) > 0 {
		err = errors.New("files changed during the restore; it runs again")
	}
	s.recordPass(begin, true, err, 0)
	if err == nil {
		s.enter(status.Restored)
	}
}
