package syntax

import (
	"reflect"
	"regexp"
	"slices"
	"strings"

	yaml "go.yaml.in/yaml/v3"
)

// unknown reports a name that the mapping at s does not have. A key that does not look like a name
// is not repeated: "password hunter2" without its colon is a key too.
func (d *Decoder) unknown(s *Location, key *yaml.Node, t reflect.Type) {
	e := &Error{Line: key.Line, Column: key.Column, Field: s.Path()}
	names := FieldNames(t)
	choice := "the fields here are " + strings.Join(names, ", ")
	if len(names) == 0 {
		choice = "there are no fields here, write {}"
	}
	switch {
	case key.Kind != yaml.ScalarNode:
		e.Message = "a field name must be a plain word; " + choice
	case !isName(key.Value):
		e.Message = "not a field name" + missingSpace(key.Value, names) + "; " + choice
	default:
		near, word := Nearest(key.Value, names), d.hint(t, key.Value)
		if near != "" || word != "" || shownKey(key.Value) != "" {
			at := Location{Parent: s, Name: key.Value}
			e.Field = at.Path()
		}
		e.Message = "unknown field"
		switch {
		case word != "":
			e.Message += "; " + word
		case near != "":
			e.Message += `; did you mean "` + near + `"?`
		default:
			e.Message += "; " + choice
		}
	}
	d.Add(e)
}

// hintForList recognises two forms that people write instead of a list: k3s' mirrors, which are a
// mapping, and a single address.
func hintForList(s *Location, n *yaml.Node) string {
	switch field := mainField(s.Name); {
	case n.Kind == yaml.MappingNode && s.Path() == "mirrors":
		return "; a mapping here is k3s' form, berth convert --from k3s FILE prints a RegistryConfig"
	case n.Kind == yaml.ScalarNode && field != "" && s.Shown(n.Value) != "":
		return "; write " + s.Name + ": [{" + field + ": " + s.Shown(n.Value) + "}]"
	}
	return ""
}

// mainField returns the field that identifies an item of a list, "" for other lists.
func mainField(list string) string {
	return map[string]string{"endpoints": "url", "mirrors": "upstream", "registries": "host"}[list]
}

// hintForMapping says what to write instead of n, which is not a mapping.
func hintForMapping(s *Location, n *yaml.Node) string {
	switch {
	case n.Kind == yaml.SequenceNode:
		return `, not a list; remove the "-"`
	case s.Name == "tls" && n.ShortTag() == "!!bool":
		return "; certificates are verified unless you say otherwise, so remove it; or write tls: {caFile: …} for a CA of your own, " +
			"tls: {insecureSkipVerify: true} to verify nothing, plainHTTP: true in place of tls for http"
	case s.Name == "defaultRegistry" && s.Shown(n.Value) != "":
		return "; write defaultRegistry: {url: " + s.Shown(n.Value) + "}"
	case s.Name == "" && s.Parent != nil && mainField(s.Parent.Name) != "" && s.Shown(WithScheme(n.Value)) != "":
		field, value := mainField(s.Parent.Name), s.Shown(WithScheme(n.Value))
		if _, name, hasScheme := strings.Cut(value, "://"); hasScheme && field != "url" {
			value = name
		}
		return `; write "- ` + field + ": " + value + `"`
	}
	return `; is a space missing after a colon?`
}

// SchemeTypo splits an address whose http or https is not followed by "://". For any other address
// rest is "".
func SchemeTypo(written string) (scheme, rest string) {
	m := badScheme.FindStringSubmatch(written)
	if m == nil || m[2] == "://" {
		return "", ""
	}
	return strings.ToLower(m[1]), m[3]
}

// WithScheme corrects a mistyped "://" after the scheme and returns any other address unchanged.
func WithScheme(written string) string {
	if scheme, rest := SchemeTypo(written); rest != "" {
		return scheme + "://" + rest
	}
	return written
}

var badScheme = regexp.MustCompile(`^(?i:(https?))([:;]?/{1,3}|:\\+|:)([^/\\:].*)$`)

func missingSpace(key string, names []string) string {
	before, _, _ := strings.Cut(key, ":")
	if before != key && slices.Contains(names, before) {
		return `; a space is missing after "` + before + `:"`
	}
	return ""
}

func isName(s string) bool {
	if s == "" || len(s) > 64 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_'
		if !letter && (i == 0 || c != '-' && c != '.' && (c < '0' || c > '9')) {
			return false
		}
	}
	return true
}

// FieldNames returns the names of the fields of the struct type t in a document.
func FieldNames(t reflect.Type) []string {
	var names []string
	for i := range t.NumField() {
		if name := t.Field(i).Tag.Get("yaml"); name != "-" {
			names = append(names, name)
		}
	}
	return names
}

// Nearest returns the name that written was probably meant to be, or "".
func Nearest(written string, names []string) string {
	best, limit := "", min(1+len(written)/4, 3)
	for _, name := range names {
		if strings.EqualFold(name, written) {
			return name
		}
		if distance := editDistance(written, name, limit); distance <= limit {
			best, limit = name, distance-1
		}
	}
	return best
}

// editDistance counts the insertions, deletions, replacements and swaps of neighbours between a and
// b. Above limit it returns limit+1 at least.
func editDistance(a, b string, limit int) int {
	a, b = strings.ToLower(a), strings.ToLower(b)
	if len(a)-len(b) > limit || len(b)-len(a) > limit {
		return limit + 1
	}
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			replace := rows[i-1][j-1]
			if a[i-1] != b[j-1] {
				replace++
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, replace)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
