package config

import (
	"strconv"

	yaml "go.yaml.in/yaml/v3"
)

// location is a place in the document: a node and its path. Positions are read from the node tree
// only when a message needs them, so a field without a message costs nothing.
type location struct {
	parent *location
	name   string // of the field, "" for a list item
	index  int
	node   *yaml.Node // nil if the field is absent
	key    *yaml.Node // the field's name in the document
}

// field returns the location of a field of the mapping at s.
func (s *location) field(name string) *location {
	f := &location{parent: s, name: name}
	if m := s.node; m != nil && m.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(m.Content); i += 2 {
			if m.Content[i].Value == name {
				f.key, f.node = m.Content[i], target(m.Content[i+1])
				break
			}
		}
	}
	return f
}

// item returns the location of an item of the list at s.
func (s *location) item(i int) *location {
	it := &location{parent: s, index: i}
	if s.node != nil && s.node.Kind == yaml.SequenceNode && i < len(s.node.Content) {
		it.node = target(s.node.Content[i])
	}
	return it
}

// unset reports an absent field, a null or "".
func (s *location) unset() bool {
	n := s.node
	return n == nil || isNull(n) || n.Kind == yaml.ScalarNode && n.Value == ""
}

// written returns the text of the node, "" if there is none.
func (s *location) written() string {
	if s.node == nil {
		return ""
	}
	return scalar(s.node)
}

// position returns the position of s; an absent field has that of its parent.
func (s *location) position() (line, column int) {
	for ; s != nil; s = s.parent {
		switch {
		case s.node != nil && s.key != nil && isNull(s.node):
			return s.key.Line, s.key.Column // an empty value has no position of its own
		case s.node != nil:
			return s.node.Line, s.node.Column
		}
	}
	return 1, 1
}

// path returns the field's path, such as mirrors[0].endpoints[1].url.
func (s *location) path() string {
	if s == nil || s.parent == nil {
		return ""
	}
	before := s.parent.path()
	switch {
	case s.name == "":
		return before + "[" + strconv.Itoa(s.index) + "]"
	case shownKey(s.name) == "":
		return before + "[?]" // a header name that may be a secret
	case before == "":
		return s.name
	}
	return before + "." + s.name
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

func isNull(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null"
}
