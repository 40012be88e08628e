package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"

	"github.com/berth-registry/berth/internal/managedfile"
)

// Files of ours, beside the record, that are private to Berth.
const (
	healthName  = "health.json"  // what the agent has seen of the endpoints
	learnedName = "learned.json" // what registries do with a login
)

// learned reads what an agent has learned on this node. A damaged file counts
// as an empty one: it is all learned again.
func (m *Machine) learned() (learned, error) {
	var l learned
	if err := m.readPrivate(learnedName, &l); err != nil {
		return learned{}, err
	}
	return l, nil
}

// How much is read of a private file: 10,000 registries need about 3 MiB, and
// the last good config holds all files that it names.
const (
	maxPrivate  = 8 << 20
	maxLastGood = 64 << 20
)

// readPrivate reads a JSON file of the state directory. A file that is missing
// or no JSON of ours leaves v as it is.
func (m *Machine) readPrivate(name string, v any) error {
	file := path.Join(StateDir, name)
	limit := int64(maxPrivate)
	if name == lastGoodName {
		limit = maxLastGood
	}
	b, err := m.root.ReadFileUpTo(file, limit)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%w; rm %s: the agent makes it again", err, file)
	}
	_ = json.Unmarshal(b, v)
	return nil
}

// hasPrivate reports whether a private file is where we left it.
func (m *Machine) hasPrivate(name string) bool {
	info, err := m.root.Lstat(path.Join(StateDir, name))
	return err == nil && info.Mode().IsRegular() && info.Size() > 0
}

// agentHealth gives what the agent that runs on this machine has seen of the
// endpoints, nil if none runs.
func (m *Machine) agentHealth() (Health, error) {
	runs, err := managedfile.Locked(m.root, agentLockFile)
	if err != nil || !runs {
		return nil, err
	}
	s := probeState{}
	err = m.readPrivate(healthName, &s)
	return s, err
}

// lastGoodName is the file that holds the last config that could be used, with
// all that it names: passwords and certificates.
const lastGoodName = "last-good.json"
