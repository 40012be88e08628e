package convert

import (
	"fmt"
	"strconv"
	"strings"
)

// value is one value of the input, from YAML or TOML.
type value struct {
	kind         kind
	text         string   // of a scalar
	boolean      bool     // a scalar that the format defines as true or false
	fields       []*field // of a mapping, in the order of the input
	index        map[string]*field
	items        []*value // of a list
	line, column int      // from 1
	// skipped says that everything below has been reported as a whole.
	skipped bool
	// login says that names below may be parts of a login.
	login bool
}

// field is one entry of a mapping.
type field struct {
	name         string
	line, column int
	value        *value
	read         bool // a part of the converter has read it
}

type kind int

const (
	null kind = iota
	scalar
	list
	mapping
)

func (v *value) field(name string) *field {
	if v == nil || v.kind != mapping {
		return nil
	}
	return v.index[name]
}

func (v *value) add(f *field) {
	if v.index == nil {
		v.index = map[string]*field{}
	}
	v.index[f.name] = f
	v.fields = append(v.fields, f)
}

// cursor is a location in the input: a value and its path. The cursor of an absent field has a nil
// value.
type cursor struct {
	in           *input
	v            *value
	path         string
	name         string // of the field that led here
	line, column int    // of the field's name; 0 if there is none
}

// absent reports an absent field or a null.
func (c cursor) absent() bool { return c.v == nil || c.v.kind == null }

// position returns the position of c.
func (c cursor) position() (line, column int) {
	switch {
	case c.line > 0:
		return c.line, c.column
	case c.v != nil:
		return c.v.line, c.v.column
	case c.in.file != "":
		return 0, 0 // the file as a whole
	}
	return 1, 1
}

func (c cursor) fail(format string, args ...any) {
	line, column := c.position()
	if c.v != nil && c.v.line > 0 {
		line, column = c.v.line, c.v.column
	}
	c.in.failAt(line, column, c.path, fmt.Sprintf(format, args...))
}

func (c cursor) loss(what, effect string) Loss {
	line, column := c.position()
	return Loss{File: c.in.file, Line: line, Column: column, Field: c.path, What: what, Effect: effect}
}

// get returns the cursor of a field of the mapping at c.
func (c cursor) get(name string) cursor {
	next := cursor{in: c.in, path: c.in.join(c.path, name), name: name}
	if c.absent() {
		return next
	}
	if f := c.v.field(name); f != nil {
		f.read = true
		next.v, next.line, next.column = f.value, f.line, f.column
	}
	return next
}

// fold is [cursor.get] without regard to case.
func (c cursor) fold(name string) cursor {
	if !c.absent() {
		for _, f := range c.v.fields {
			if strings.EqualFold(f.name, name) {
				return c.get(f.name)
			}
		}
	}
	return c.get(name)
}

// firstOf returns the first of several spellings of a field that is present.
func (c cursor) firstOf(names ...string) cursor {
	found := c.get(names[0])
	for _, name := range names[1:] {
		if next := c.get(name); found.absent() && !next.absent() {
			found = next
		}
	}
	return found
}

// skip marks everything below c as reported.
func (c cursor) skip() {
	if c.v != nil {
		c.v.skipped = true
	}
}

// mapping reports whether c is a mapping. Any other value except an absent one is a mistake, whose
// message shows example as the remedy.
func (c cursor) mapping(example string) bool {
	if c.absent() {
		return false
	}
	if c.v.kind != mapping {
		c.fail("must be %s; write %s", c.in.word(mapping), example)
		return false
	}
	return true
}

// all returns the fields of the mapping at c, in order.
func (c cursor) all(example string) []cursor {
	if !c.mapping(example) {
		return nil
	}
	cursors := make([]cursor, len(c.v.fields))
	for i, f := range c.v.fields {
		f.read = true
		cursors[i] = cursor{in: c.in, v: f.value, path: c.in.join(c.path, f.name), name: f.name, line: f.line, column: f.column}
	}
	return cursors
}

// items returns the items of the list at c.
func (c cursor) items(example string) []cursor {
	if c.absent() {
		return nil
	}
	if c.v.kind != list {
		c.fail("must be a list; write %s", example)
		return nil
	}
	cursors := make([]cursor, len(c.v.items))
	for i, v := range c.v.items {
		cursors[i] = cursor{in: c.in, v: v, path: c.path + "[" + strconv.Itoa(i) + "]"}
	}
	return cursors
}

// text returns the scalar at c, "" if absent. All programs accept a number or a boolean of YAML as
// a string.
func (c cursor) text() string {
	if c.absent() {
		return ""
	}
	if c.v.kind != scalar {
		c.fail("must be a string; put the value in quotes")
		return ""
	}
	return c.v.text
}

// boolValue returns the boolean at c, false if absent. yes and on count as true, as in the YAML 1.1
// that RKE and k3s read.
func (c cursor) boolValue() bool {
	if c.absent() {
		return false
	}
	if c.v.kind == scalar {
		switch lower := strings.ToLower(c.v.text); {
		case c.v.boolean, !c.in.toml && (lower == "yes" || lower == "on" || lower == "y"):
			return lower != "false"
		case lower == "", !c.in.toml && (lower == "no" || lower == "off" || lower == "n"):
			return false
		}
	}
	c.fail("must be true or false, without quotes")
	return false
}

// empty reports an absent field, or a mapping without fields.
func (c cursor) empty() bool { return c.absent() || c.v.kind == mapping && len(c.v.fields) == 0 }
