// Package source reads a config of another tool into a tree of values, remembers which of them a
// converter has read, and collects the mistakes and losses with their positions.
//
// It knows YAML, JSON and TOML, and no field of any tool. A message repeats a part of the input
// only if that part cannot be a secret. Start reading at [Cursor]; [YAML], [JSON] and [TOML] make
// the tree.
package source

import (
	"fmt"
	"strconv"
	"strings"
)

// Value is one value of the input, from YAML or TOML.
type Value struct {
	Kind         Kind
	Text         string   // of a scalar
	boolean      bool     // a scalar that the format defines as true or false
	Fields       []*Field // of a mapping, in the order of the input
	index        map[string]*Field
	Items        []*Value // of a list
	Line, Column int      // from 1
	// skipped says that everything below has been reported as a whole.
	skipped bool
	// Login says that names below may be parts of a login.
	Login bool
}

// Field is one entry of a mapping.
type Field struct {
	Name         string
	Line, Column int
	Value        *Value
	Read         bool // a part of the converter has read it
}

// Kind is the kind of a [Value].
type Kind int

// The kinds of values.
const (
	Null Kind = iota
	Scalar
	List
	Mapping
)

// Field returns the field of a mapping, nil if there is none or v is no mapping.
func (v *Value) Field(name string) *Field {
	if v == nil || v.Kind != Mapping {
		return nil
	}
	return v.index[name]
}

func (v *Value) add(f *Field) {
	if v.index == nil {
		v.index = map[string]*Field{}
	}
	v.index[f.Name] = f
	v.Fields = append(v.Fields, f)
}

// Cursor is a location in the input: a value and its path. The cursor of an absent field has a nil
// value.
type Cursor struct {
	In           *Input
	Value        *Value
	Path         string
	Name         string // of the field that led here
	Line, Column int    // of the field's name; 0 if there is none
}

// Absent reports an absent field or a null.
func (c Cursor) Absent() bool { return c.Value == nil || c.Value.Kind == Null }

// position returns the position of c.
func (c Cursor) position() (line, column int) {
	switch {
	case c.Line > 0:
		return c.Line, c.Column
	case c.Value != nil:
		return c.Value.Line, c.Value.Column
	case c.In.File != "":
		return 0, 0 // the file as a whole
	}
	return 1, 1
}

// Fail adds a mistake at c.
func (c Cursor) Fail(format string, args ...any) {
	line, column := c.position()
	if c.Value != nil && c.Value.Line > 0 {
		line, column = c.Value.Line, c.Value.Column
	}
	c.In.FailAt(line, column, c.Path, fmt.Sprintf(format, args...))
}

// Loss returns a loss at c: what is missing, with the reason, and the effect or the remedy.
func (c Cursor) Loss(what, effect string) Loss {
	line, column := c.position()
	return Loss{File: c.In.File, Line: line, Column: column, Field: c.Path, What: what,
		Effect: effect}
}

// Get returns the cursor of a field of the mapping at c.
func (c Cursor) Get(name string) Cursor {
	next := Cursor{In: c.In, Path: c.In.Join(c.Path, name), Name: name}
	if c.Absent() {
		return next
	}
	if f := c.Value.Field(name); f != nil {
		f.Read = true
		next.Value, next.Line, next.Column = f.Value, f.Line, f.Column
	}
	return next
}

// Fold is [Cursor.Get] without regard to case.
func (c Cursor) Fold(name string) Cursor {
	if !c.Absent() {
		for _, f := range c.Value.Fields {
			if strings.EqualFold(f.Name, name) {
				return c.Get(f.Name)
			}
		}
	}
	return c.Get(name)
}

// FirstOf returns the first of several spellings of a field that is present.
func (c Cursor) FirstOf(names ...string) Cursor {
	found := c.Get(names[0])
	for _, name := range names[1:] {
		if next := c.Get(name); found.Absent() && !next.Absent() {
			found = next
		}
	}
	return found
}

// Skip marks everything below c as reported.
func (c Cursor) Skip() {
	if c.Value != nil {
		c.Value.skipped = true
	}
}

// Mapping reports whether c is a mapping. Any other value except an absent one is a mistake, whose
// message shows example as the remedy.
func (c Cursor) Mapping(example string) bool {
	if c.Absent() {
		return false
	}
	if c.Value.Kind != Mapping {
		c.Fail("must be %s; write %s", c.In.word(Mapping), example)
		return false
	}
	return true
}

// All returns the fields of the mapping at c, in order.
func (c Cursor) All(example string) []Cursor {
	if !c.Mapping(example) {
		return nil
	}
	cursors := make([]Cursor, len(c.Value.Fields))
	for i, f := range c.Value.Fields {
		f.Read = true
		cursors[i] = Cursor{In: c.In, Value: f.Value, Path: c.In.Join(c.Path, f.Name), Name: f.Name,
			Line: f.Line, Column: f.Column}
	}
	return cursors
}

// Items returns the items of the list at c.
func (c Cursor) Items(example string) []Cursor {
	if c.Absent() {
		return nil
	}
	if c.Value.Kind != List {
		c.Fail("must be a list; write %s", example)
		return nil
	}
	cursors := make([]Cursor, len(c.Value.Items))
	for i, v := range c.Value.Items {
		cursors[i] = Cursor{In: c.In, Value: v, Path: c.Path + "[" + strconv.Itoa(i) + "]"}
	}
	return cursors
}

// Text returns the scalar at c, "" if absent. All programs accept a number or a boolean of YAML as
// a string.
func (c Cursor) Text() string {
	if c.Absent() {
		return ""
	}
	if c.Value.Kind != Scalar {
		c.Fail("must be a string; put the value in quotes")
		return ""
	}
	return c.Value.Text
}

// Bool returns the boolean at c, false if absent. yes and on count as true, as in the YAML 1.1
// that RKE and k3s read.
func (c Cursor) Bool() bool {
	if c.Absent() {
		return false
	}
	if c.Value.Kind == Scalar {
		switch lower := strings.ToLower(c.Value.Text); {
		case c.Value.boolean, !c.In.TOML && (lower == "yes" || lower == "on" || lower == "y"):
			return lower != "false"
		case lower == "", !c.In.TOML && (lower == "no" || lower == "off" || lower == "n"):
			return false
		}
	}
	c.Fail("must be true or false, without quotes")
	return false
}

// Empty reports an absent field, or a mapping without fields.
func (c Cursor) Empty() bool {
	return c.Absent() || c.Value.Kind == Mapping && len(c.Value.Fields) == 0
}
