package reconcile

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"

	"github.com/berth-registry/berth/internal/nodefs"
	"github.com/berth-registry/berth/node/desired"
	"github.com/berth-registry/berth/node/probestate"
)

// Private files of Berth, beside the record.
const (
	HealthFile  = "health.json"  // which endpoints answer
	LearnedFile = "learned.json" // how registries answered to a login
)

// Learned reads what an agent has learned on this node. A damaged file counts as an empty one:
// the agent learns it again.
func (n *Node) Learned() (probestate.SavedLogins, error) {
	var l probestate.SavedLogins
	if err := n.ReadPrivate(LearnedFile, &l); err != nil {
		return probestate.SavedLogins{}, err
	}
	return l, nil
}

// Limits for the size of private files: 10,000 registries need about 3 MiB, and the last good
// config holds all files that it names.
const (
	maxPrivate  = 8 << 20
	maxLastGood = 64 << 20
)

// ReadPrivate reads a JSON file of the state directory. A file that is missing or is not valid
// JSON leaves v as it is.
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
		return fmt.Errorf("%w; remove the file (rm %s); the agent writes it again", err, file)
	}
	_ = json.Unmarshal(b, v)
	return nil
}

// HasPrivate reports whether a private file exists and is not empty.
func (n *Node) HasPrivate(name string) bool {
	info, err := n.Root.Lstat(path.Join(StateDir, name))
	return err == nil && info.Mode().IsRegular() && info.Size() > 0
}

// agentHealth returns the health of the endpoints as the agent that runs on this machine has
// saved it, nil if none runs.
func (n *Node) agentHealth() (desired.Health, error) {
	runs, err := nodefs.Locked(n.Root, AgentLockFile)
	if err != nil || !runs {
		return nil, err
	}
	s := probestate.SavedHealth{}
	err = n.ReadPrivate(HealthFile, &s)
	return s, err
}

// LastGoodFile holds the last config that could be used, with the contents of all files that it
// names: passwords and certificates.
const LastGoodFile = "last-good.json"
