package syntax

import (
	"strconv"

	yaml "go.yaml.in/yaml/v3"
)

// Location is a place in the document: a node and its path. Positions are read from the node tree
// only when a message needs them, so a field without a message costs nothing.
type Location struct {
	Parent *Location
	Name   string // of the field, "" for a list item
	index  int
	Node   *yaml.Node // nil if the field is absent
	key    *yaml.Node // the field's name in the document
}

// Field returns the location of a field of the mapping at s.
func (s *Location) Field(name string) *Location {
	f := &Location{Parent: s, Name: name}
	if m := s.Node; m != nil && m.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(m.Content); i += 2 {
			if m.Content[i].Value == name {
				f.key, f.Node = m.Content[i], target(m.Content[i+1])
				break
			}
		}
	}
	return f
}

// Item returns the location of an item of the list at s.
func (s *Location) Item(i int) *Location {
	it := &Location{Parent: s, index: i}
	if s.Node != nil && s.Node.Kind == yaml.SequenceNode && i < len(s.Node.Content) {
		it.Node = target(s.Node.Content[i])
	}
	return it
}

// Unset reports an absent field, a null or "".
func (s *Location) Unset() bool {
	n := s.Node
	return n == nil || IsNull(n) || n.Kind == yaml.ScalarNode && n.Value == ""
}

// Written returns the text of the node, "" if there is none.
func (s *Location) Written() string {
	if s.Node == nil {
		return ""
	}
	return scalar(s.Node)
}

// Position returns the position of s; an absent field has that of its parent.
func (s *Location) Position() (line, column int) {
	for ; s != nil; s = s.Parent {
		switch {
		case s.Node != nil && s.key != nil && IsNull(s.Node):
			return s.key.Line, s.key.Column // an empty value has no position of its own
		case s.Node != nil:
			return s.Node.Line, s.Node.Column
		}
	}
	return 1, 1
}

// Path returns the field's path, such as mirrors[0].endpoints[1].url.
func (s *Location) Path() string {
	if s == nil || s.Parent == nil {
		return ""
	}
	before := s.Parent.Path()
	switch {
	case s.Name == "":
		return before + "[" + strconv.Itoa(s.index) + "]"
	case shownKey(s.Name) == "":
		return before + "[?]" // a header name that may be a secret
	case before == "":
		return s.Name
	}
	return before + "." + s.Name
}

// target returns the node that an alias stands for.
func target(n *yaml.Node) *yaml.Node {
	for range 2 { // an alias never refers to another alias
		if n.Kind != yaml.AliasNode || n.Alias == nil {
			break
		}
		n = n.Alias
	}
	return n
}

// IsNull reports whether n is a null, such as an empty value.
func IsNull(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null"
}
