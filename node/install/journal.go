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
	"github.com/berth-registry/berth/node/install/edit"
)

const (
	journalName    = "install.json"
	journalVersion = 1
)

// journal is what an installation must know besides the record of its files. An entry is written
// before the change that it describes.
type journal struct {
	Version int `json:"version"`
	// RestartPending are the daemons that must be restarted, "containerd", "kubelet" and "docker",
	// and the run of each at the time of writing.
	RestartPending map[string]identity `json:"due,omitempty"`
	// Stale is true if systemd has to reload its files.
	Stale bool `json:"stale,omitempty"`
	// Edits are the changes in foreign files, by path.
	Edits map[string]edit.Edit `json:"edits,omitempty"`
	// Programs are the credential providers that Berth put on the node, by path.
	Programs map[string]placedProgram `json:"programs,omitempty"`
}

// identity identifies one run of a daemon, as far as this process can see it.
type identity struct {
	Invocation string `json:"invocation,omitempty"` // systemd's
	Process    string `json:"process,omitempty"`    // see node.Identity
}

// same reports whether both may be the same run.
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
	raw, err := in.machine.Root.ReadFile(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	default:
		if err := json.Unmarshal(raw, &in.journal); err != nil {
			return fmt.Errorf("%s: was not written by berth (%w); move it away, and restore the files in %s by hand", file, err, path.Join(StateDir, "saved"))
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
		j.Edits = map[string]edit.Edit{}
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

// markRestartPending records that a daemon must be restarted for the change that follows.
func (in *Installer) markRestartPending(name string, now identity) error {
	in.journal.RestartPending[name] = now
	return in.save()
}

// restartDone records that a daemon runs with the present files.
func (in *Installer) restartDone(name string) error {
	if _, ok := in.journal.RestartPending[name]; !ok {
		return nil
	}
	delete(in.journal.RestartPending, name)
	return in.save()
}

// earlier returns the edit of a file by an earlier run; nil if there is none, or if that run was
// killed before it wrote the file.
func (in *Installer) earlier(name string, now []byte) *edit.Edit {
	e, ok := in.journal.Edits[name]
	if !ok || now == nil && e.From == "" || now != nil && e.From == edit.Hash(now) {
		return nil
	}
	return &e
}

// drop removes a pending restart that the user has done. The journal is written with the next
// change, or by [Installer.Do].
func (in *Installer) drop(name string) {
	delete(in.journal.RestartPending, name)
	in.dropped = true
}

// identity finds out which run of a service is active now.
func (in *Installer) identity(ctx context.Context, unit string, pid int) identity {
	var i identity
	if state, ok := in.state(ctx, unit); ok {
		i.Invocation = state.Invocation
	}
	if pid != 0 {
		i.Process, _ = node.Identity(in.machine, pid)
	}
	return i
}

// state asks systemd for a service; ok is false if there is no systemd, or it does not answer.
func (in *Installer) state(ctx context.Context, unit string) (State, bool) {
	if in.o.Services == nil || unit == "" {
		return State{}, false
	}
	state, err := in.o.Services.State(ctx, unit)
	return state, err == nil
}
