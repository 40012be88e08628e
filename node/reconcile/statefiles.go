package reconcile

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"

	"github.com/berth-registry/berth/internal/managedfile"
	"github.com/berth-registry/berth/node/desired"
	"github.com/berth-registry/berth/node/probestate"
)

// Files of ours, beside the record, that are private to Berth.
const (
	HealthFile  = "health.json"  // what the agent has seen of the endpoints
	LearnedFile = "learned.json" // what registries do with a login
)

// Learned reads what an agent has learned on this node. A damaged file counts
// as an empty one: it is all learned again.
func (n *Node) Learned() (probestate.SavedLogins, error) {
	var l probestate.SavedLogins
	if err := n.ReadPrivate(LearnedFile, &l); err != nil {
		return probestate.SavedLogins{}, err
	}
	return l, nil
}

// How much is read of a private file: 10,000 registries need about 3 MiB, and
// the last good config holds all files that it names.
const (
	maxPrivate  = 8 << 20
	maxLastGood = 64 << 20
)

// ReadPrivate reads a JSON file of the state directory. A file that is missing
// or no JSON of ours leaves v as it is.
func (n *Node) ReadPrivate(name string, v any) error {
	file := path.Join(StateDir, name)
	limit := int64(maxPrivate)
	if name == LastGoodFile {
		limit = maxLastGood
	}
	b, err := n.Root.ReadFileUpTo(file, limit)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%w; rm %s: the agent makes it again", err, file)
	}
	_ = json.Unmarshal(b, v)
	return nil
}

// HasPrivate reports whether a private file is where we left it.
func (n *Node) HasPrivate(name string) bool {
	info, err := n.Root.Lstat(path.Join(StateDir, name))
	return err == nil && info.Mode().IsRegular() && info.Size() > 0
}

// agentHealth gives what the agent that runs on this machine has seen of the
// endpoints, nil if none runs.
func (n *Node) agentHealth() (desired.Health, error) {
	runs, err := managedfile.Locked(n.Root, AgentLockFile)
	if err != nil || !runs {
		return nil, err
	}
	s := probestate.SavedHealth{}
	err = n.ReadPrivate(HealthFile, &s)
	return s, err
}

// LastGoodFile is the file that holds the last config that could be used, with
// all that it names: passwords and certificates.
const LastGoodFile = "last-good.json"
