package syntax

import (
	yaml "go.yaml.in/yaml/v3"
)

// flatten replaces the merge keys (<<) of the mapping n by the fields of their sources. The
// mapping's own fields win, then those of earlier sources. Source:
// https://yaml.org/type/merge.html
func (d *Decoder) flatten(s *Location, n *yaml.Node) {
	if !hasMerge(n) {
		return
	}
	d.merging[n] = true
	defer delete(d.merging, n)
	var own, sources []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		if isMerge(n.Content[i]) {
			sources = append(sources, n.Content[i+1])
		} else {
			own = append(own, n.Content[i], n.Content[i+1])
		}
	}
	have := map[string]bool{}
	for i := 0; i < len(own); i += 2 {
		have[own[i].Value] = true
	}
	for _, source := range sources {
		own = d.merge(s, own, have, source, true)
	}
	n.Content = own
}

// merge appends the fields of source that fields does not hold yet.
func (d *Decoder) merge(s *Location, fields []*yaml.Node, have map[string]bool, source *yaml.Node, lists bool) []*yaml.Node {
	from := target(source)
	switch {
	case from.Kind == yaml.SequenceNode && lists:
		for _, item := range from.Content {
			fields = d.merge(s, fields, have, item, false)
		}
		return fields
	case from.Kind != yaml.MappingNode:
		d.wrongTypeAt(s, source, "a merge key (<<) takes an alias of a mapping (*name) or a list of them")
		return fields
	case d.merging[from]:
		d.wrongTypeAt(s, source, "a merge key (<<) must not lead back to its own mapping")
		return fields
	}
	d.flatten(s, from)
	for i := 0; i+1 < len(from.Content); i += 2 {
		if !d.spend(s, source, 1) {
			return fields
		}
		if key := from.Content[i]; !have[key.Value] {
			have[key.Value] = true
			fields = append(fields, key, from.Content[i+1])
		}
	}
	return fields
}

func hasMerge(n *yaml.Node) bool {
	for i := 0; i < len(n.Content); i += 2 {
		if isMerge(n.Content[i]) {
			return true
		}
	}
	return false
}

func isMerge(key *yaml.Node) bool {
	return key.Kind == yaml.ScalarNode && key.ShortTag() == "!!merge"
}
