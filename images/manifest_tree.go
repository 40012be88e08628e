package images

// tree is a value of a document, YAML or JSON, and where it stands in the text.
type tree struct {
	kind  kind
	style style
	at    int    // offset of its first byte, an anchor or tag included
	text  string // of a scalar, decoded
	str   bool   // the scalar is a string and no number, boolean or null

	anchor string
	pairs  []pair  // of a mapping
	items  []*tree // of a sequence
	target *tree   // of an alias
}

type pair struct{ name, value *tree }

type kind uint8

const (
	scalar kind = iota
	mapping
	sequence
	alias
)

// style is how a value is written.
type style uint8

const (
	plain style = iota
	single
	double
	literal // a block scalar, | or >
	block   // a collection by indentation
	flow    // a collection in brackets
)

// resolve follows an alias.
func (t *tree) resolve() *tree {
	for t != nil && t.kind == alias {
		t = t.target
	}
	return t
}

// isString reports whether t, or what it is an alias of, is a string.
func (t *tree) isString() bool {
	t = t.resolve()
	return t != nil && t.kind == scalar && t.str
}

// word is the text of a scalar, also of a number; "" for anything else and for
// null.
func (t *tree) word() string {
	t = t.resolve()
	if t == nil || t.kind != scalar || !t.str && (t.text == "null" || t.text == "~") {
		return ""
	}
	return t.text
}

// equal reports whether two trees mean the same, whatever they look like.
func equal(a, b *tree) bool {
	if a.kind != b.kind || a.anchor != b.anchor || a.text != b.text || a.str != b.str ||
		len(a.pairs) != len(b.pairs) || len(a.items) != len(b.items) {
		return false
	}
	for i := range a.pairs {
		if !equal(a.pairs[i].name, b.pairs[i].name) || !equal(a.pairs[i].value, b.pairs[i].value) {
			return false
		}
	}
	for i := range a.items {
		if !equal(a.items[i], b.items[i]) {
			return false
		}
	}
	return true
}

// get gives the value of a field, nil if there is none.
func get(fields []pair, name string) *tree {
	for _, p := range fields {
		if n := p.name.resolve(); n != nil && n.kind == scalar && n.text == name {
			return p.value
		}
	}
	return nil
}

// walk visits every value of a document once, not through aliases.
func walk(t *tree, visit func(*tree)) {
	visit(t)
	for _, p := range t.pairs {
		walk(p.name, visit)
		walk(p.value, visit)
	}
	for _, item := range t.items {
		walk(item, visit)
	}
}

func word(s string) *tree { return &tree{kind: scalar, text: s, str: true} }
