package agent

import (
	"context"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

const (
	// readyAfter is when READY is sent at the latest, counted from the start of the loop:
	// within 10 s of the start of the program. kubelet's start waits for READY, and a node
	// without Berth's files is better than a node without kubelet.
	readyAfter = 9 * time.Second
	// statusEvery is how often the line of "systemctl status" may change.
	statusEvery = 2 * time.Second
)

// notify sends READY once, the STATUS line and WATCHDOG to systemd, if systemd started the
// agent. It ends with ctx.
func (a *Agent) notify(ctx context.Context) error {
	if ok, err := daemon.SdNotify(false, "STATUS=starting"); !ok {
		return err
	}
	watchdog, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		return err
	}
	every := statusEvery
	if watchdog > 0 {
		every = min(every, watchdog/3)
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	deadline := time.NewTimer(readyAfter)
	defer deadline.Stop()
	ready, lastLine := a.readyForSystemd, ""
	for {
		select {
		case <-ctx.Done():
			_, err := daemon.SdNotify(false, daemon.SdNotifyStopping)
			return err
		case <-ready:
			ready = nil
			deadline.Stop()
			_, _ = daemon.SdNotify(false, daemon.SdNotifyReady)
		case <-deadline.C:
			ready = nil
			_, _ = daemon.SdNotify(false, daemon.SdNotifyReady)
		case <-tick.C:
			if watchdog > 0 && a.Alive() == nil {
				_, _ = daemon.SdNotify(false, daemon.SdNotifyWatchdog)
			}
		}
		if line := a.Snapshot().Line(); line != lastLine {
			lastLine = line
			_, _ = daemon.SdNotify(false, "STATUS="+line)
		}
	}
}
