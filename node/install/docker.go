package install

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/berth-registry/berth/node"
	"github.com/berth-registry/berth/node/install/edit"
)

const daemonDocker = "docker"

// errNoDocker: the node has no Docker Engine whose image store could be switched.
var errNoDocker = errors.New("no Docker Engine was found: no process, no service, no program; install it first, or run this where it runs")

// installDocker plans to switch the image store of Docker Engine to that of containerd, which reads
// hosts.toml files. It is done only on request, because images of the other store are not seen
// afterwards.
func (in *Installer) installDocker(ctx context.Context) Section {
	s := Section{Name: daemonDocker}
	d, found, err := node.DiscoverDocker(ctx, in.machine)
	if err == nil && !found {
		err = errNoDocker
	}
	if err != nil {
		s.Err = err
		return s
	}
	s.Found = append(s.Found, foundDocker(d))
	pending, due := in.dockerPending(ctx, d)
	if reads, why := d.Reads(); reads == node.Reads && !due {
		s.Found = append(s.Found, "hosts.toml files are read already; there is nothing to do")
		return s
	} else if reads != node.Reads && !pending {
		if s.Err = cannotSwitch(d); s.Err != nil {
			return s
		}
		s.Found = append(s.Found, why)
	}
	before, err := in.machine.Root.ReadFile(d.ConfigPath)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.Err = err
		return s
	}
	after, was, err := edit.SetDockerFeature(before, true)
	if err == nil && before != nil && in.o.ValidateDocker != nil && d.Binary != "" {
		err = in.o.ValidateDocker(ctx, in.machine.Root.Path(d.Binary), in.machine.Root.Path(d.ConfigPath))
	}
	if err != nil {
		s.Err = fmt.Errorf("%s: %w", d.ConfigPath, err)
		return s
	}
	changed := string(after) != string(before)
	if changed {
		what := "change"
		if before == nil {
			what = "write"
		}
		s.Changes = append(s.Changes, Change{Path: d.ConfigPath, What: what, Before: before, After: after, Foreign: true})
	}
	s.Notes = append(s.Notes, "images of the present store are not seen by the new one, and their containers are not listed; they stay on the disk until berth uninstall --docker")
	if s.Restart, s.Err = in.restartOfDocker(d); s.Err != nil {
		return s
	}
	if s.Restart == nil {
		s.Notes = append(s.Notes, "it takes effect when Docker is restarted, which is left to you")
		if !changed {
			return s
		}
	}
	s.do = func(ctx context.Context) error { return in.switchStore(ctx, d, before, after, was, s.Restart) }
	return s
}

func foundDocker(d node.Docker) string {
	text := strings.TrimSpace("Docker " + d.Version)
	if d.PID != 0 {
		text += fmt.Sprintf(", process %d", d.PID)
	}
	if d.Unit != "" {
		text += ", " + d.Unit
	}
	return text + ", configured by " + d.ConfigPath
}

// cannotSwitch returns why the image store must not be switched by a change of daemon.json.
func cannotSwitch(d node.Docker) error {
	switch reads, why := d.Reads(); {
	case d.ConfigError != nil:
		return d.ConfigError
	case d.Rootless:
		return errors.New("it is rootless; write the feature into its own daemon.json, as its user")
	case d.Pinned != "":
		return fmt.Errorf("%s keeps it from the containerd image store; remove that first", d.Pinned)
	case reads == node.CannotTell:
		return fmt.Errorf("%s; start Docker first", why)
	case d.Store == node.DockerContainerd:
		return errors.New(why + "; " + d.Remedy()) // its release is too old
	case !d.ReadsWithContainerdStore():
		return errors.New("its release reads no hosts.toml; " + d.Remedy())
	}
	return nil
}

// dockerPending reports whether an earlier run has left Docker's restart to do (pending), and
// whether Docker was not restarted since (due).
func (in *Installer) dockerPending(ctx context.Context, d node.Docker) (pending, due bool) {
	noted, ok := in.journal.RestartPending[daemonDocker]
	if !ok {
		return false, false
	}
	if d.PID != 0 && !noted.same(in.identity(ctx, d.Unit, d.PID)) && d.Store == node.DockerContainerd {
		in.drop(daemonDocker)
		return false, false
	}
	return true, true
}

// errDockerRefuses: dockerd would not start with its daemon.json, whatever Berth changes there.
var errDockerRefuses = errors.New("was changed since Docker was started, and Docker would not start with it; run dockerd --validate, and correct the file first")

// ValidateDocker asks a dockerd whether it would start with a daemon.json. It is nil too if that
// cannot be told: dockerd checks the node as well, and must accept an empty file first. The error
// does not repeat what dockerd says: that may hold a login.
func ValidateDocker(ctx context.Context, dockerd, config string) error {
	accepts := func(file string) error {
		cmd := exec.CommandContext(ctx, dockerd, "--validate", "--config-file="+file)
		cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"} // that of systemd
		return cmd.Run()
	}
	if accepts(config) != nil && accepts(os.DevNull) == nil {
		return errDockerRefuses
	}
	return ctx.Err()
}

// restartOfDocker returns the restart of Docker, nil if this run must not do it or Docker does not
// run.
func (in *Installer) restartOfDocker(d node.Docker) (*Restart, error) {
	if d.PID == 0 || in.o.NoRestart {
		return nil, nil
	}
	if in.o.Services == nil || d.Unit == "" {
		return nil, fmt.Errorf("dockerd runs (process %d), and not as a service of systemd; add --no-restart, and restart it yourself", d.PID)
	}
	return &Restart{Unit: d.Unit, Why: "Docker chooses its image store when it starts", Means: meansRestart(d)}, nil
}

// meansRestart says what becomes of the containers: Docker restores only those of the store that it
// starts with (moby's daemon/daemon.go, restore).
func meansRestart(d node.Docker) string {
	running := fmt.Sprintf("%d containers run: they", d.Containers)
	if d.Containers == 1 {
		running = "1 container runs: it"
	}
	switch {
	case d.NoAPI != nil:
		return "containers stop, unless live-restore is on; those of the present store are not started again"
	case d.Containers == 0:
		return "no container runs now"
	case d.LiveRestore:
		return running + " will go on, because live-restore is on, and Docker will not list or stop what is of the present store; stop it first"
	}
	return running + " will stop, and Docker will not start again what is of the present store"
}

// switchStore writes daemon.json, restarts Docker and checks its image store.
func (in *Installer) switchStore(ctx context.Context, d node.Docker, before, after []byte, was *bool, r *Restart) error {
	now := in.identity(ctx, d.Unit, d.PID)
	if string(after) != string(before) {
		e := edit.Edit{Docker: &edit.Docker{Before: was}, To: edit.Hash(after), Exact: true}
		if before != nil {
			e.From = edit.Hash(before)
		}
		in.journal.Edits[d.ConfigPath] = e
	}
	if err := in.step("note docker"); err != nil {
		return err
	}
	if err := in.markRestartPending(daemonDocker, now); err != nil {
		return err
	}
	if string(after) != string(before) {
		if err := in.write(ctx, wanted{scope: scopeDocker, path: d.ConfigPath, before: before, body: after}); err != nil {
			if ctx.Err() == nil {
				err = errors.Join(err, in.putBackDocker(ctx))
			}
			return err
		}
	}
	if r == nil {
		if d.PID == 0 && !in.o.NoRestart {
			return in.restartDone(daemonDocker)
		}
		return nil // the journal keeps the pending restart
	}
	err := in.restartDocker(ctx, r, node.DockerContainerd)
	if err == nil {
		in.say("checked: Docker uses the containerd image store and reads hosts.toml files")
		return in.restartDone(daemonDocker)
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%w; the file is written, run it again to continue", err)
	}
	in.say("it failed: %v", err)
	in.say("putting everything back")
	back := &RollbackError{Cause: err}
	if back.Err = in.putBackDocker(ctx); back.Err == nil {
		back.Err = in.restartDocker(ctx, r, d.Store)
	}
	if back.Err == nil {
		back.Err = in.restartDone(daemonDocker)
	}
	return back
}

// putBackDocker undoes the change of daemon.json.
func (in *Installer) putBackDocker(ctx context.Context) error {
	all, err := in.undo(scopeDocker)
	if err == nil {
		err = in.transfer(ctx, scopeDocker, all)
	}
	return err
}

// restartDocker restarts Docker and waits until its API says that it has this image store.
func (in *Installer) restartDocker(ctx context.Context, r *Restart, want node.DockerStore) error {
	if err := in.restart(ctx, r.Unit); err != nil {
		return err
	}
	end := time.Now().Add(in.o.ReadyTimeout)
	for {
		d, found, err := node.DiscoverDocker(ctx, in.machine)
		switch {
		case err != nil:
			return err
		case found && d.NoAPI == nil && d.Store == want:
			return nil
		case time.Now().Before(end):
		case !found || d.NoAPI != nil:
			return fmt.Errorf("dockerd does not answer at %s within %s (%v); see journalctl -u %s", d.Socket, in.o.ReadyTimeout, d.NoAPI, r.Unit)
		default:
			return fmt.Errorf("dockerd runs with another image store (%s) after the restart", d.StoreFrom)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// uninstallDocker plans to undo the switch of Docker's image store.
func (in *Installer) uninstallDocker(ctx context.Context) Section {
	s := Section{Name: daemonDocker}
	all, err := in.undo(scopeDocker)
	if err != nil {
		s.Err = err
		return s
	}
	d, found, err := node.DiscoverDocker(ctx, in.machine)
	if err != nil {
		s.Err = err
		return s
	}
	pending, due := in.dockerPending(ctx, d)
	if len(all) == 0 && !due {
		s.Found = append(s.Found, "nothing of Docker's configuration is Berth's")
		return s
	}
	s.Changes = in.changes(all)
	if found {
		s.Found = append(s.Found, foundDocker(d))
		if s.Restart, s.Err = in.restartOfDocker(d); s.Err != nil {
			return s
		}
	}
	s.Notes = append(s.Notes, "images and containers of the containerd image store are not seen by Docker's earlier one; they stay on the disk")
	r := s.Restart
	s.do = func(ctx context.Context) error {
		if r != nil && (len(all) > 0 || pending) {
			if err := in.markRestartPending(daemonDocker, in.identity(ctx, d.Unit, d.PID)); err != nil {
				return err
			}
		}
		if err := in.transfer(ctx, scopeDocker, all); err != nil {
			return err
		}
		if r != nil {
			if err := in.step("restart " + r.Unit); err != nil {
				return err
			}
			if err := in.o.Services.Restart(ctx, r.Unit); err != nil {
				return fmt.Errorf("the file is as it was before berth, and %w", err)
			}
			in.say("restarted %s", r.Unit)
		}
		return in.restartDone(daemonDocker)
	}
	return s
}

// recordedDocker reports whether Berth has switched Docker's image store on this node.
func (in *Installer) recordedDocker() bool {
	files, err := in.recorded(scopeDocker)
	_, due := in.journal.RestartPending[daemonDocker]
	return due || err == nil && len(files) > 0
}
