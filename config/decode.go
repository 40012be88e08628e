package config

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	yaml "go.yaml.in/yaml/v3"

	"github.com/berth-registry/berth/internal/redact"
)

// maxViaAlias limits the nodes read through aliases and merges. Without aliases a document holds
// fewer nodes than bytes; with them a few lines can stand for billions.
const maxViaAlias = 20_000

// decoder fills Go values from YAML nodes strictly: an unknown name or a wrong type is an error.
// The `yaml` tag of a field is its name, the `default` tag its value if the document has none.
type decoder struct {
	*report
	structs  map[reflect.Type]map[string]int
	broken   map[*yaml.Node]bool // nodes with a reported error
	merging  map[*yaml.Node]bool
	aliases  int // depth of aliases above the node being read
	viaAlias int
	tooMany  bool
}

// stopped reports that decoding ends here: too many errors or too many aliased nodes.
func (d *decoder) stopped() bool { return d.tooMany || d.full() }

func newDecoder(r *report) *decoder {
	return &decoder{
		report:  r,
		structs: map[reflect.Type]map[string]int{},
		broken:  map[*yaml.Node]bool{},
		merging: map[*yaml.Node]bool{},
	}
}

// decode fills v from the node at s. A null leaves v unchanged.
func (d *decoder) decode(s *location, v reflect.Value, written *yaml.Node) {
	if written.Kind == yaml.AliasNode {
		d.aliases++
		defer func() { d.aliases-- }()
	}
	if !d.spend(s, written, d.aliases) {
		return
	}
	n := s.node
	if isNull(n) {
		return
	}
	switch target := v.Addr().Interface().(type) {
	case *redact.Secret:
		if text, ok := d.text(s, n); ok {
			*target = redact.New(text)
		}
		return
	case *Duration:
		d.duration(s, n, target)
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		if n.Kind != yaml.MappingNode {
			d.wrongType(s, "", "must be a mapping (name: value)"+hintForMapping(s, n))
			return
		}
		v.Set(reflect.New(v.Type().Elem()))
		setDefaults(v.Elem())
		d.mapping(s, v.Elem())
	case reflect.Struct:
		d.mapping(s, v)
	case reflect.Map:
		d.headers(s, v)
	case reflect.Slice:
		d.list(s, v)
	case reflect.String:
		if text, ok := d.text(s, n); ok {
			v.SetString(text)
		}
	case reflect.Bool:
		if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!bool" {
			d.wrongType(s, scalar(n), "must be true or false, without quotes")
			return
		}
		v.SetBool(strings.EqualFold(n.Value, "true"))
	case reflect.Int:
		i, err := strconv.Atoi(n.Value)
		if err != nil || n.Kind != yaml.ScalarNode || n.ShortTag() != "!!int" {
			d.wrongType(s, scalar(n), "must be a whole number, without quotes")
			return
		}
		v.SetInt(int64(i))
	default:
		panic("config: no decoding for " + v.Type().String())
	}
}

// spend counts a node that is read through an alias. It returns false if reading must stop.
func (d *decoder) spend(s *location, at *yaml.Node, aliases int) bool {
	if aliases == 0 {
		return !d.tooMany
	}
	d.viaAlias++
	if d.viaAlias > maxViaAlias && !d.tooMany {
		d.tooMany = true
		d.add(&Error{Line: at.Line, Column: at.Column, Field: s.path(),
			Message: fmt.Sprintf("the aliases (*name) expand to more than %d values; write the values out", maxViaAlias)})
	}
	return !d.tooMany
}

func (d *decoder) mapping(s *location, v reflect.Value) {
	n := s.node
	if n.Kind != yaml.MappingNode {
		d.wrongType(s, "", "must be a mapping (name: value)"+hintForMapping(s, n))
		return
	}
	d.flatten(s, n)
	fields := d.fields(v.Type())
	seen := make([]*yaml.Node, v.NumField())
	for i := 0; i+1 < len(n.Content) && !d.stopped(); i += 2 {
		key := n.Content[i]
		index, known := fields[key.Value]
		if key.Kind != yaml.ScalarNode || !known {
			d.unknown(s, key, v.Type())
			continue
		}
		if first := seen[index]; first != nil {
			d.duplicate(s, key, first)
			continue
		}
		seen[index] = key
		value := n.Content[i+1]
		at := &location{parent: s, name: key.Value, key: key, node: target(value)}
		d.decode(at, v.Field(index), value)
	}
}

// headers fills the only kind of map: names to lists of strings. Header values may be credentials,
// so they are not shown.
func (d *decoder) headers(s *location, v reflect.Value) {
	n := s.node
	if n.Kind != yaml.MappingNode {
		d.wrongType(s, "", "must be a mapping of header names to lists: {X-Org: [team-a]}")
		return
	}
	d.flatten(s, n)
	v.Set(reflect.MakeMapWithSize(v.Type(), len(n.Content)/2))
	seen := map[string]*yaml.Node{}
	for i := 0; i+1 < len(n.Content) && !d.stopped(); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Kind != yaml.ScalarNode || !isToken(key.Value) {
			// The key is not repeated: "X-Key:hunter2" without a space is a key too.
			d.wrongTypeAt(s, key, "not a header name; use letters, digits and hyphens, and a space after the colon")
			continue
		}
		if first := seen[key.Value]; first != nil {
			d.duplicate(s, key, first)
			continue
		}
		seen[key.Value] = key
		list := reflect.New(v.Type().Elem()).Elem()
		d.decode(&location{parent: s, name: key.Value, key: key, node: target(value)}, list, value)
		v.SetMapIndex(reflect.ValueOf(key.Value), list)
	}
}

func (d *decoder) list(s *location, v reflect.Value) {
	n := s.node
	if n.Kind != yaml.SequenceNode {
		shown, message := "", "must be a list: begin each item with \"- \""
		if n.Kind == yaml.ScalarNode && v.Type().Elem().Kind() == reflect.String {
			shown, message = n.Value, "must be a list: put [ ] around the value"
		}
		d.wrongType(s, shown, message+hintForList(s, n))
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content)))
	for i, value := range n.Content {
		at := &location{parent: s, index: i, node: target(value)}
		if isNull(at.node) {
			d.wrongType(at, "", `is an empty item; remove its "-" or fill it`)
			continue
		}
		setDefaults(v.Index(i))
		d.decode(at, v.Index(i), value)
		if d.stopped() {
			return
		}
	}
}

// text returns the string at n. A number or a date is refused, because another program that reads
// and writes the file would change it: 0123 and 1e3 do not survive.
func (d *decoder) text(s *location, n *yaml.Node) (string, bool) {
	switch {
	case n.Kind != yaml.ScalarNode:
		d.wrongType(s, "", "must be a string, not "+kindName(n))
		return "", false
	case n.ShortTag() != "!!str":
		d.wrongType(s, n.Value, "must be a string; put it in quotes")
		return "", false
	}
	return n.Value, true
}

func (d *decoder) duration(s *location, n *yaml.Node, out *Duration) {
	value, err := time.ParseDuration(n.Value)
	switch _, number := strconv.ParseFloat(n.Value, 64); {
	case n.Kind == yaml.ScalarNode && number == nil && n.Value != "0" && s.shown(n.Value) != "":
		d.wrongType(s, n.Value, fmt.Sprintf("has no unit; write %ss for seconds or %sms for milliseconds", n.Value, n.Value))
	case n.Kind != yaml.ScalarNode || err != nil:
		d.wrongType(s, scalar(n), "must be a duration such as 2s, 500ms or 1m30s")
	default:
		*out = Duration(value)
	}
}

// wrongType reports the node at s. value is its text; [location.shown] decides how much is shown.
func (d *decoder) wrongType(s *location, value, message string) {
	d.broken[s.node] = true
	line, column := s.position()
	d.add(&Error{Line: line, Column: column, Field: s.path(), Value: s.shown(value), Message: message})
}

func (d *decoder) wrongTypeAt(s *location, n *yaml.Node, message string) {
	d.add(&Error{Line: n.Line, Column: n.Column, Field: s.path(), Message: message})
}

func (d *decoder) duplicate(s *location, key, first *yaml.Node) {
	at := location{parent: s, name: key.Value}
	d.add(&Error{Line: key.Line, Column: key.Column, Field: at.path(),
		Message: fmt.Sprintf("is already given on line %d; keep one of them", first.Line)})
}

// scalar returns the text of n, "" for a mapping or a list.
func scalar(n *yaml.Node) string {
	if n.Kind == yaml.ScalarNode {
		return n.Value
	}
	return ""
}

func kindName(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	return "a single value"
}

// fields maps the field names of the file to the fields of a struct type.
func (d *decoder) fields(t reflect.Type) map[string]int {
	if names, ok := d.structs[t]; ok {
		return names
	}
	names := make(map[string]int, t.NumField())
	for i := range t.NumField() {
		if name := t.Field(i).Tag.Get("yaml"); name != "-" {
			names[name] = i
		}
	}
	d.structs[t] = names
	return names
}

// setDefaults fills v and the structs in it from their `default` tags.
func setDefaults(v reflect.Value) {
	if v.Kind() != reflect.Struct {
		return
	}
	for i := range v.NumField() {
		field := v.Field(i)
		text, ok := v.Type().Field(i).Tag.Lookup("default")
		switch {
		case field.Kind() == reflect.Struct:
			setDefaults(field)
		case ok:
			setDefault(field, text)
		}
	}
}

func setDefault(v reflect.Value, text string) {
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(text == "true")
	case reflect.String:
		v.SetString(text)
	case reflect.Slice:
		v.Set(reflect.ValueOf(strings.Split(text, ",")))
	case reflect.Int:
		n, err := strconv.Atoi(text)
		if err != nil {
			panic("config: default of an int: " + text)
		}
		v.SetInt(int64(n))
	case reflect.Int64:
		d, err := time.ParseDuration(text)
		if err != nil {
			panic("config: default of a Duration: " + text)
		}
		v.SetInt(int64(d))
	default:
		panic("config: no default for " + v.Type().String())
	}
}
