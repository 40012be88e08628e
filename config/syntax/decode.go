package syntax

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

// Decoder fills Go values from YAML nodes strictly: an unknown name or a wrong type is an error.
// The `yaml` tag of a field is its name, the `default` tag its value if the document has none. An
// int64 is a duration in Go's notation.
type Decoder struct {
	*Report
	hint     func(t reflect.Type, name string) string
	structs  map[reflect.Type]map[string]int
	Broken   map[*yaml.Node]bool // nodes with a reported error
	merging  map[*yaml.Node]bool
	aliases  int // depth of aliases above the node being read
	viaAlias int
	tooMany  bool
}

// Stopped reports that decoding ends here: too many errors or too many aliased nodes.
func (d *Decoder) Stopped() bool { return d.tooMany || d.Full() }

// NewDecoder returns a decoder that reports to r. hint says what to write in the place of an unknown
// name in a mapping that becomes a t, "" if it does not know.
func NewDecoder(r *Report, hint func(t reflect.Type, name string) string) *Decoder {
	return &Decoder{
		Report:  r,
		hint:    hint,
		structs: map[reflect.Type]map[string]int{},
		Broken:  map[*yaml.Node]bool{},
		merging: map[*yaml.Node]bool{},
	}
}

// Decode fills v from the node at s; written is that node, or the alias in its place. A null leaves
// v unchanged.
func (d *Decoder) Decode(s *Location, v reflect.Value, written *yaml.Node) {
	if written.Kind == yaml.AliasNode {
		d.aliases++
		defer func() { d.aliases-- }()
	}
	if !d.spend(s, written, d.aliases) {
		return
	}
	n := s.Node
	if IsNull(n) {
		return
	}
	if secret, ok := v.Addr().Interface().(*redact.Secret); ok {
		if text, ok := d.text(s, n); ok {
			*secret = redact.New(text)
		}
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		if n.Kind != yaml.MappingNode {
			d.wrongType(s, "", "must be a mapping (name: value)"+hintForMapping(s, n))
			return
		}
		v.Set(reflect.New(v.Type().Elem()))
		SetDefaults(v.Elem())
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
	case reflect.Int64:
		d.duration(s, n, v)
	default:
		panic("config: no decoding for " + v.Type().String())
	}
}

// spend counts a node that is read through an alias. It returns false if reading must stop.
func (d *Decoder) spend(s *Location, at *yaml.Node, aliases int) bool {
	if aliases == 0 {
		return !d.tooMany
	}
	d.viaAlias++
	if d.viaAlias > maxViaAlias && !d.tooMany {
		d.tooMany = true
		d.Add(&Error{Line: at.Line, Column: at.Column, Field: s.Path(),
			Message: fmt.Sprintf("the aliases (*name) expand to more than %d values; write the values out", maxViaAlias)})

	}
	return !d.tooMany
}

func (d *Decoder) mapping(s *Location, v reflect.Value) {
	n := s.Node
	if n.Kind != yaml.MappingNode {
		d.wrongType(s, "", "must be a mapping (name: value)"+hintForMapping(s, n))
		return
	}
	d.flatten(s, n)
	fields := d.fields(v.Type())
	seen := make([]*yaml.Node, v.NumField())
	for i := 0; i+1 < len(n.Content) && !d.Stopped(); i += 2 {
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
		at := &Location{Parent: s, Name: key.Value, key: key, Node: target(value)}
		d.Decode(at, v.Field(index), value)
	}
}

// headers fills the only kind of map: names to lists of strings. Header values may be credentials,
// so they are not shown.
func (d *Decoder) headers(s *Location, v reflect.Value) {
	n := s.Node
	if n.Kind != yaml.MappingNode {
		d.wrongType(s, "", "must be a mapping of header names to lists: {X-Org: [team-a]}")
		return
	}
	d.flatten(s, n)
	v.Set(reflect.MakeMapWithSize(v.Type(), len(n.Content)/2))
	seen := map[string]*yaml.Node{}
	for i := 0; i+1 < len(n.Content) && !d.Stopped(); i += 2 {
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
		d.Decode(&Location{Parent: s, Name: key.Value, key: key, Node: target(value)}, list, value)
		v.SetMapIndex(reflect.ValueOf(key.Value), list)
	}
}

// isToken checks for a token of https://www.rfc-editor.org/rfc/rfc9110#section-5.6.2.
func isToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		alnum := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
		return !alnum && (r > 0x7e || !strings.ContainsRune("!#$%&'*+-.^_`|~", r))
	})
}

func (d *Decoder) list(s *Location, v reflect.Value) {
	n := s.Node
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
		at := &Location{Parent: s, index: i, Node: target(value)}
		if IsNull(at.Node) {
			d.wrongType(at, "", `is an empty item; remove its "-" or fill it`)
			continue
		}
		SetDefaults(v.Index(i))
		d.Decode(at, v.Index(i), value)
		if d.Stopped() {
			return
		}
	}
}

// text returns the string at n. A number or a date is refused, because another program that reads
// and writes the file would change it: 0123 and 1e3 do not survive.
func (d *Decoder) text(s *Location, n *yaml.Node) (string, bool) {
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

func (d *Decoder) duration(s *Location, n *yaml.Node, out reflect.Value) {
	value, err := time.ParseDuration(n.Value)
	switch _, number := strconv.ParseFloat(n.Value, 64); {
	case n.Kind == yaml.ScalarNode && number == nil && n.Value != "0" && s.Shown(n.Value) != "":
		d.wrongType(s, n.Value, fmt.Sprintf("has no unit; write %ss for seconds or %sms for milliseconds", n.Value, n.Value))
	case n.Kind != yaml.ScalarNode || err != nil:
		d.wrongType(s, scalar(n), "must be a duration such as 2s, 500ms or 1m30s")
	default:
		out.SetInt(int64(value))
	}
}

// wrongType reports the node at s. value is its text; [Location.Shown] decides how much is shown.
func (d *Decoder) wrongType(s *Location, value, message string) {
	d.Broken[s.Node] = true
	line, column := s.Position()
	d.Add(&Error{Line: line, Column: column, Field: s.Path(), Value: s.Shown(value), Message: message})
}

func (d *Decoder) wrongTypeAt(s *Location, n *yaml.Node, message string) {
	d.Add(&Error{Line: n.Line, Column: n.Column, Field: s.Path(), Message: message})
}

func (d *Decoder) duplicate(s *Location, key, first *yaml.Node) {
	at := Location{Parent: s, Name: key.Value}
	d.Add(&Error{Line: key.Line, Column: key.Column, Field: at.Path(),
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
func (d *Decoder) fields(t reflect.Type) map[string]int {
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

// SetDefaults fills v and the structs in it from their `default` tags.
func SetDefaults(v reflect.Value) {
	if v.Kind() != reflect.Struct {
		return
	}
	for i := range v.NumField() {
		field := v.Field(i)
		text, ok := v.Type().Field(i).Tag.Lookup("default")
		switch {
		case field.Kind() == reflect.Struct:
			SetDefaults(field)
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
			panic("config: default of a duration: " + text)
		}
		v.SetInt(int64(d))
	default:
		panic("config: no default for " + v.Type().String())
	}
}
