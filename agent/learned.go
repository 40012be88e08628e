package agent

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"

	"github.com/berth-registry/berth/agent/health"
)

// Files of ours, beside the record, that are private to Berth.
const (
	healthName  = "health.json"  // what the agent has seen of the endpoints
	learnedName = "learned.json" // what registries do with a login
)

// learned is what was found out about registries with a login.
type learned struct {
	// Key makes the hashes of logins in Facts worthless elsewhere.
	Key   []byte        `json:"key,omitempty"`
	Facts []health.Fact `json:"facts"`
}

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

// withKey gives l a key if it has none.
func (l learned) withKey() learned {
	if len(l.Key) == 0 {
		l.Key = make([]byte, 32)
		_, _ = rand.Read(l.Key) // never fails
	}
	return l
}

// saveLearned puts aside what was learned, when it has changed.
func (a *Agent) saveLearned() error {
	l := learned{Key: a.key, Facts: a.prober.Learned()}
	if len(l.Facts) == 0 && a.kept[learnedName] == nil {
		return nil
	}
	return a.saveFile(learnedName, l)
}

func (a *Agent) saveFile(name string, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	b = append(b, '\n')
	if bytes.Equal(b, a.kept[name]) && a.machine.hasPrivate(name) {
		return nil
	}
	if err := a.machine.store.WritePrivate(name, b); err != nil {
		return err
	}
	a.kept[name] = b
	return nil
}
