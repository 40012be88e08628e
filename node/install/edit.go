package install

import (
	"errors"
	"reflect"

	"github.com/berth-registry/berth/internal/containerdconf"
	"github.com/berth-registry/berth/internal/tomldoc"
	"github.com/berth-registry/berth/node/providerconfig"
)

// edit is what we changed in a file of somebody else, so that it can be taken
// out of whatever the file has become.
type edit struct {
	// Keys are the TOML keys that were set, and Provider says that an entry was
	// added to a CredentialProviderConfig.
	Keys     []key `json:"keys,omitempty"`
	Provider bool  `json:"provider,omitempty"`
	// From and To are the SHA-256 of the file before and after, From empty when
	// it was not there. Exact says that what was there at From is what comes
	// back, so that a file which is still at To is put back byte for byte.
	From  string `json:"from,omitempty"`
	To    string `json:"to"`
	Exact bool   `json:"exact"`
	// Lossy says that more was changed than Keys, at somebody's request.
	Lossy bool `json:"lossy,omitempty"`
}

// key is one key of a TOML file.
type key struct {
	Path  []string `json:"path"`
	Value string   `json:"value"`
	// Before is what it was, nil when it was not there.
	Before *string `json:"before,omitempty"`
	// There is how many of the tables on the way to it were there.
	There int `json:"there"`
}

// errMixed says that a change cannot be taken out any more.
var errMixed = errors.New("what berth changed cannot be told from the rest any more")

// undo takes the change out of content. Content in which there is nothing of it
// is given as it is.
func (e edit) undo(content []byte) ([]byte, error) {
	switch {
	case e.Provider:
		return providerconfig.RemoveEntry(content)
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
			continue // somebody has decided otherwise since
		}
		if doc, err = k.undo(doc); err != nil {
			return nil, errors.Join(errMixed, err)
		}
	}
	if left := doc.Values(); e.From == "" && len(left) == 1 && left["version"] != nil {
		return nil, nil // of a file that was not there only our own line is left
	}
	return doc.Bytes(), nil
}

// undo gives a document with the key as it was, and without the tables that came
// with it if they are empty.
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

// earlier gives the edit of a file that an earlier run made; nil when there is
// none, or when that run was killed before it came to it.
func (in *Installer) earlier(name string, now []byte) *edit {
	e, ok := in.journal.Edits[name]
	if !ok || now == nil && e.From == "" || now != nil && e.From == hash(now) {
		return nil
	}
	return &e
}

// editOf describes a change of config.toml. The one before it, if there was one,
// tells what the keys were like before us.
func editOf(f containerdconf.FileChange, earlier *edit) (edit, error) {
	e := edit{To: hash(f.After), Exact: earlier == nil || earlier.Exact && f.Before != nil && earlier.To == hash(f.Before)}
	if f.Before != nil {
		e.From = hash(f.Before)
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

// add notes a key; what it was like first counts.
func (e *edit) add(k key) {
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

// sameValues compares documents, but for a version line that was added and for
// tables in which nothing is left.
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
