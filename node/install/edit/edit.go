// Package edit holds the changes that berth install makes in foreign files, and takes back: keys of
// containerd's config.toml, the entry in kubelet's CredentialProviderConfig, and the image store in
// Docker's daemon.json. All are functions of bytes: every byte that is not Berth's stays.
//
// Start reading at [Edit.Undo].
package edit

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"reflect"

	"github.com/berth-registry/berth/internal/containerdconf"
	"github.com/berth-registry/berth/internal/tomldoc"
	"github.com/berth-registry/berth/node/providerconfig"
)

// Edit is a change that Berth made in a foreign file. It is kept so that the change can be undone
// even if the file was edited later.
type Edit struct {
	// Keys are the TOML keys that were set. Provider is true if an entry was added to a
	// CredentialProviderConfig.
	Keys     []key `json:"keys,omitempty"`
	Provider bool  `json:"provider,omitempty"`
	// Docker is set if the image store was switched in daemon.json.
	Docker *Docker `json:"docker,omitempty"`
	// From and To are the SHA-256 of the file before and after the change; From is empty if the
	// file was missing. Exact is true if the kept original is the file at From: a file that is
	// still at To is then put back byte for byte.
	From  string `json:"from,omitempty"`
	To    string `json:"to"`
	Exact bool   `json:"exact"`
	// Lossy is true if more than Keys was changed, at the request of the user.
	Lossy bool `json:"lossy,omitempty"`
}

// key is one key of a TOML file.
type key struct {
	Path  []string `json:"path"`
	Value string   `json:"value"`
	// Before is its value before the change, nil if it was missing.
	Before *string `json:"before,omitempty"`
	// There is the number of tables on its path that existed before.
	There int `json:"there"`
}

// errMixed: the change can no longer be undone.
var errMixed = errors.New("berth's change cannot be separated from the edits any more")

// Undo removes the change from content. If content has nothing of the change, it is returned as it
// is.
func (e Edit) Undo(content []byte) ([]byte, error) {
	switch {
	case e.Provider:
		return providerconfig.RemoveEntry(content)
	case e.Docker != nil:
		return e.Docker.Undo(content)
	case e.Lossy:
		return nil, errMixed
	}
	doc, err := tomldoc.Parse(content)
	if err != nil {
		return nil, err
	}
	for _, k := range e.Keys {
		f := doc.Field(k.Path...)
		if f == nil || f.Value.Text != k.Value {
			continue // it was changed since
		}
		if doc, err = k.undo(doc); err != nil {
			return nil, errors.Join(errMixed, err)
		}
	}
	if left := doc.Values(); e.From == "" && len(left) == 1 && left["version"] != nil {
		return nil, nil // the file was missing before, and only our line is left
	}
	return doc.Bytes(), nil
}

// undo returns the document with the key as it was, and without the tables that were added with the
// key if they are empty now.
func (k key) undo(doc *tomldoc.Document) (*tomldoc.Document, error) {
	if k.Before != nil {
		data, err := doc.Set(*k.Before, k.Path...)
		if err != nil {
			return nil, err
		}
		return tomldoc.Parse(data)
	}
	for n := len(k.Path); n > k.There; n-- {
		if f := doc.Field(k.Path[:n]...); f == nil || n < len(k.Path) && (f.Value.Kind != tomldoc.Table || len(f.Value.Fields) > 0) {
			continue
		}
		data, err := doc.Remove(k.Path[:n]...)
		if err == nil {
			doc, err = tomldoc.Parse(data)
		}
		if err != nil {
			return nil, err
		}
	}
	return doc, nil
}

// ForConfig describes a change of config.toml. earlier, if it is not nil, has the keys as they were
// before Berth.
func ForConfig(f containerdconf.FileChange, earlier *Edit) (Edit, error) {
	e := Edit{To: Hash(f.After), Exact: earlier == nil || earlier.Exact && f.Before != nil && earlier.To == Hash(f.Before)}
	if f.Before != nil {
		e.From = Hash(f.Before)
	}
	if earlier != nil {
		e.From, e.Keys, e.Lossy = earlier.From, earlier.Keys, earlier.Lossy
	}
	before, err := tomldoc.Parse(f.Before)
	if err != nil {
		return e, err
	}
	after, err := tomldoc.Parse(f.After)
	if err != nil {
		return e, err
	}
	rest := after
	for _, table := range []string{containerdconf.TableV1, containerdconf.TableV2, containerdconf.TableV3} {
		path := []string{"plugins", table, "registry", "config_path"}
		old, now := before.Field(path...), after.Field(path...)
		if now == nil || old != nil && old.Value.Text == now.Value.Text {
			continue
		}
		k := key{Path: path, Value: now.Value.Text}
		if old != nil {
			k.Before = &old.Value.Text
		}
		for k.There < len(path) && before.Field(path[:k.There+1]...) != nil {
			k.There++
		}
		if rest, err = k.undo(rest); err != nil {
			return e, err
		}
		e.add(k)
	}
	e.Lossy = e.Lossy || !sameValues(before.Values(), rest.Values())
	return e, nil
}

// add records a key. Its first value before a change counts.
func (e *Edit) add(k key) {
	var keys []key
	for _, old := range e.Keys {
		if reflect.DeepEqual(old.Path, k.Path) {
			k.Before, k.There = old.Before, old.There
			continue
		}
		keys = append(keys, old)
	}
	e.Keys = append(keys, k)
}

// sameValues compares documents, ignoring a version line that was added and tables that are empty.
func sameValues(before, after map[string]any) bool {
	_, versioned := before["version"]
	before, after = pruned(before), pruned(after)
	if !versioned {
		delete(after, "version")
	}
	return reflect.DeepEqual(before, after)
}

func pruned(table map[string]any) map[string]any {
	out := map[string]any{}
	for name, value := range table {
		inner, ok := value.(map[string]any)
		if !ok {
			out[name] = value
			continue
		}
		if inner = pruned(inner); len(inner) > 0 {
			out[name] = inner
		}
	}
	return out
}

// Hash is the SHA-256 of data, in hexadecimal digits.
func Hash(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
