package document

// Tree is a value of a YAML or JSON document, with its position in the text.
type Tree struct {
	Kind  Kind
	Style Style
	At    int    // offset of its first byte, including an anchor or tag
	Text  string // of a scalar, decoded
	Str   bool   // the scalar is a string, not a number, boolean or null

	Anchor string
	Pairs  []Pair  // of a mapping
	Items  []*Tree // of a sequence
	Target *Tree   // of an alias
}

// Pair is a key of a mapping with its value.
type Pair struct{ Name, Value *Tree }

// Kind is the kind of a node.
type Kind uint8

// The values of Kind.
const (
	Scalar Kind = iota
	Mapping
	Sequence
	Alias
)

// Style is the way a value is written.
type Style uint8

// The values of Style.
const (
	Plain Style = iota
	Single
	Double
	Literal // a block scalar, | or >
	Block   // a collection by indentation
	Flow    // a collection in brackets
)

// Resolve follows an alias.
func (t *Tree) Resolve() *Tree {
	for t != nil && t.Kind == Alias {
		t = t.Target
	}
	return t
}

// IsString reports whether t, or what it is an alias of, is a string.
func (t *Tree) IsString() bool {
	t = t.Resolve()
	return t != nil && t.Kind == Scalar && t.Str
}

// Word is the text of a scalar, also of a number; "" for any other value and for null.
func (t *Tree) Word() string {
	t = t.Resolve()
	if t == nil || t.Kind != Scalar || !t.Str && (t.Text == "null" || t.Text == "~") {
		return ""
	}
	return t.Text
}

// Equal reports whether two trees have the same meaning, whatever their style.
func Equal(a, b *Tree) bool {
	if a.Kind != b.Kind || a.Anchor != b.Anchor || a.Text != b.Text || a.Str != b.Str ||
		len(a.Pairs) != len(b.Pairs) || len(a.Items) != len(b.Items) {
		return false
	}
	for i := range a.Pairs {
		if !Equal(a.Pairs[i].Name, b.Pairs[i].Name) || !Equal(a.Pairs[i].Value, b.Pairs[i].Value) {
			return false
		}
	}
	for i := range a.Items {
		if !Equal(a.Items[i], b.Items[i]) {
			return false
		}
	}
	return true
}

// Get returns the value of a field, nil if there is none.
func Get(fields []Pair, name string) *Tree {
	for _, p := range fields {
		if n := p.Name.Resolve(); n != nil && n.Kind == Scalar && n.Text == name {
			return p.Value
		}
	}
	return nil
}

// Walk visits every value of a document once and does not follow aliases.
func Walk(t *Tree, visit func(*Tree)) {
	visit(t)
	for _, p := range t.Pairs {
		Walk(p.Name, visit)
		Walk(p.Value, visit)
	}
	for _, item := range t.Items {
		Walk(item, visit)
	}
}

// NewString returns a scalar that is a string.
func NewString(s string) *Tree { return &Tree{Kind: Scalar, Text: s, Str: true} }
