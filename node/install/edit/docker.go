package edit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
)

// The setting of daemon.json that chooses the image store:
// https://docs.docker.com/engine/storage/containerd/
const (
	dockerFeatures = "features"
	dockerFeature  = "containerd-snapshotter"
)

// Docker is the change of daemon.json: Before is the value of the feature before it, nil if it
// was missing.
type Docker struct {
	Before *bool `json:"before,omitempty"`
}

// Undo removes the change from content.
func (e Docker) Undo(content []byte) ([]byte, error) {
	if e.Before == nil {
		return removeDockerFeature(content)
	}
	after, now, err := SetDockerFeature(content, *e.Before)
	if err == nil && now == nil {
		return content, nil // it was removed since
	}
	return after, err
}

// SetDockerFeature sets the feature in the content of daemon.json. Every other byte stays. before
// is its earlier value, nil if it was missing.
func SetDockerFeature(content []byte, value bool) (after []byte, before *bool, err error) {
	text := fmt.Sprint(value)
	if len(bytes.TrimSpace(content)) == 0 {
		return fmt.Appendf(nil, "{\n  %q: {%q: %s}\n}\n", dockerFeatures, dockerFeature, text), nil, nil
	}
	top, err := objectOf(content)
	if err != nil {
		return nil, nil, err
	}
	features, ok := top.members[dockerFeatures]
	if !ok {
		after = top.insert(content, fmt.Sprintf("\n  %q: {%q: %s}", dockerFeatures, dockerFeature, text))
		return after, nil, checkOthers(content, after)
	}
	inner, err := objectOf(content[features.start:features.end])
	if err != nil {
		return nil, nil, fmt.Errorf("features: %w", err)
	}
	inner.move(features.start)
	if old, ok := inner.members[dockerFeature]; ok {
		var was bool
		if err := json.Unmarshal(content[old.start:old.end], &was); err != nil {
			return nil, nil, errors.New("features.containerd-snapshotter is neither true nor false")
		}
		before = &was
		after = bytes.Join([][]byte{content[:old.start], []byte(text), content[old.end:]}, nil)
	} else {
		after = inner.insert(content, fmt.Sprintf("%q: %s", dockerFeature, text))
	}
	return after, before, checkOthers(content, after)
}

// removeDockerFeature removes the feature, and the object around it if that is empty then.
func removeDockerFeature(content []byte) ([]byte, error) {
	top, err := objectOf(content)
	if err != nil {
		return nil, err
	}
	features, ok := top.members[dockerFeatures]
	if !ok {
		return content, nil
	}
	inner, err := objectOf(content[features.start:features.end])
	if err != nil {
		return nil, err
	}
	inner.move(features.start)
	if _, ok := inner.members[dockerFeature]; !ok {
		return content, nil
	}
	after := inner.remove(content, dockerFeature)
	if len(inner.members) == 1 {
		after = top.remove(content, dockerFeatures)
	}
	return after, checkOthers(content, after)
}

// object is where the members of a JSON object are in its text.
type object struct {
	open, close int // of the braces
	names       []string
	members     map[string]member
}

// member is one member of an object: its key begins at key, its value is [start, end).
type member struct{ key, start, end int }

// objectOf finds the members of the one object in content.
func objectOf(content []byte) (object, error) {
	const fault = "is not one JSON object"
	dec := json.NewDecoder(bytes.NewReader(content))
	o := object{members: map[string]member{}}
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return o, errors.New(fault)
	}
	o.open = int(dec.InputOffset()) - 1
	for dec.More() {
		t, err := dec.Token()
		name, ok := t.(string)
		if err != nil || !ok {
			return o, errors.New(fault)
		}
		after := int(dec.InputOffset())
		key := bytes.LastIndexByte(content[:after-1], '"')
		for key > 0 && content[key-1] == '\\' {
			key = bytes.LastIndexByte(content[:key], '"')
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return o, errors.New(fault)
		}
		end := int(dec.InputOffset())
		if _, twice := o.members[name]; twice {
			return o, fmt.Errorf("has %q twice", name)
		}
		o.names = append(o.names, name)
		o.members[name] = member{key: key, start: end - len(value), end: end}
	}
	if _, err := dec.Token(); err != nil {
		return o, errors.New(fault)
	}
	o.close = int(dec.InputOffset()) - 1
	if len(bytes.TrimSpace(content[o.close+1:])) > 0 {
		return o, errors.New(fault)
	}
	return o, nil
}

// move adds to every position.
func (o *object) move(by int) {
	o.open, o.close = o.open+by, o.close+by
	for name, m := range o.members {
		o.members[name] = member{m.key + by, m.start + by, m.end + by}
	}
}

// insert returns content with text as the first member.
func (o object) insert(content []byte, text string) []byte {
	if len(o.names) > 0 {
		text += ", "
		if text[0] == '\n' {
			text = text[:len(text)-1] // the next member has its own white space
		}
	}
	return bytes.Join([][]byte{content[:o.open+1], []byte(text), content[o.open+1:]}, nil)
}

// remove returns content without a member and its comma.
func (o object) remove(content []byte, name string) []byte {
	at := 0
	for o.names[at] != name {
		at++
	}
	m := o.members[name]
	from, to := m.key, m.end
	switch {
	case at > 0:
		from = o.members[o.names[at-1]].end
	case len(o.names) > 1:
		to = o.members[o.names[1]].key
	}
	return bytes.Join([][]byte{content[:from], content[to:]}, nil)
}

// checkOthers compares all values but the feature.
func checkOthers(before, after []byte) error {
	values := [2]map[string]any{}
	for i, content := range [][]byte{before, after} {
		if err := json.Unmarshal(content, &values[i]); err != nil {
			return err
		}
		if features, ok := values[i][dockerFeatures].(map[string]any); ok {
			delete(features, dockerFeature)
			if len(features) == 0 {
				delete(values[i], dockerFeatures)
			}
		}
	}
	if !reflect.DeepEqual(values[0], values[1]) {
		return errors.New("another value would change; edit the file by hand")
	}
	return nil
}
