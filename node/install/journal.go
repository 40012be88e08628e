package install

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"

	"github.com/berth-registry/berth/node"
)

const (
	journalName    = "install.json"
	journalVersion = 1
)

// journal is what an installation has to know besides the record of its files.
// It is written before whatever it tells of.
type journal struct {
	Version int `json:"version"`
	// Due are the daemons that must be restarted, "containerd" and "kubelet", as
	// they ran when that was written.
	RestartPending map[string]identity `json:"due,omitempty"`
	// Stale says that systemd has to read its files anew.
	Stale bool `json:"stale,omitempty"`
	// Edits are what we changed in files of others, by path.
	Edits map[string]edit `json:"edits,omitempty"`
	// Programs are the credential providers that we put somewhere, by path.
	Programs map[string]placedProgram `json:"programs,omitempty"`
}

// identity names one run of a daemon, as far as it can be known from here.
type identity struct {
	Invocation string `json:"invocation,omitempty"` // systemd's
	Process    string `json:"process,omitempty"`    // see node.Identity
}

// same reports whether both are the same run, for all that is known.
func (i identity) same(o identity) bool {
	return i.Invocation != "" && i.Invocation == o.Invocation || i.Process != "" && i.Process == o.Process
}

func (j journal) empty() bool {
	return len(j.RestartPending) == 0 && !j.Stale && len(j.Edits) == 0 && len(j.Programs) == 0
}

func (j journal) clone() journal {
	j.RestartPending, j.Edits, j.Programs = maps.Clone(j.RestartPending), maps.Clone(j.Edits), maps.Clone(j.Programs)
	return j
}

func (in *Installer) load() error {
	file := path.Join(StateDir, journalName)
	in.journal = journal{Version: journalVersion}
	raw, err := in.host.Root.ReadFile(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	default:
		if err := json.Unmarshal(raw, &in.journal); err != nil {
			return fmt.Errorf("%s: is not what berth wrote (%w); move it away, and put back by hand what lies in %s", file, err, path.Join(StateDir, "saved"))
		}
	}
	if in.journal.Version != journalVersion {
		return fmt.Errorf("%s: version %d was written by a newer berth; use that one", file, in.journal.Version)
	}
	j := &in.journal
	if j.RestartPending == nil {
		j.RestartPending = map[string]identity{}
	}
	if j.Edits == nil {
		j.Edits = map[string]edit{}
	}
	if j.Programs == nil {
		j.Programs = map[string]placedProgram{}
	}
	return nil
}

func (in *Installer) save() error {
	raw, err := json.MarshalIndent(in.journal, "", "  ")
	if err != nil {
		return err
	}
	return in.store.WritePrivate(journalName, append(raw, '\n'))
}

// markRestartPending notes that a daemon has to be restarted for what comes.
func (in *Installer) markRestartPending(name string, now identity) error {
	in.journal.RestartPending[name] = now
	return in.save()
}

// restartDone notes that a daemon runs with what lies there.
func (in *Installer) restartDone(name string) error {
	if _, ok := in.journal.RestartPending[name]; !ok {
		return nil
	}
	delete(in.journal.RestartPending, name)
	return in.save()
}

// drop forgets an obligation that somebody else has met. It is written with
// whatever comes next, or by [Installer.Do].
func (in *Installer) drop(name string) {
	delete(in.journal.RestartPending, name)
	in.dropped = true
}

// identity finds out which run of a service there is now.
func (in *Installer) identity(ctx context.Context, unit string, pid int) identity {
	var i identity
	if state, ok := in.state(ctx, unit); ok {
		i.Invocation = state.Invocation
	}
	if pid != 0 {
		i.Process, _ = node.Identity(in.host, pid)
	}
	return i
}

// state asks systemd for a service; ok is false if there is nobody to ask.
func (in *Installer) state(ctx context.Context, unit string) (State, bool) {
	if in.o.Services == nil || unit == "" {
		return State{}, false
	}
	state, err := in.o.Services.State(ctx, unit)
	return state, err == nil
}
