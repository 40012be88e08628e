package convert

import (
	"cmp"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/berth-registry/berth/config"
)

// input collects the mistakes of one input.
type input struct {
	name   string
	file   string // in messages about one file of a directory
	toml   bool   // field paths are written in TOML notation
	errors config.Errors
}

// maxErrors limits the reported mistakes; a file of another kind could give one for each line.
const maxErrors = 50

func (in *input) failAt(line, column int, field, message string) {
	if len(in.errors) < maxErrors {
		in.errors = append(in.errors, &config.Error{File: in.name, Line: line, Column: column, Field: field, Message: message})
	}
}

func (in *input) err() error {
	if len(in.errors) == 0 {
		return nil
	}
	slices.SortStableFunc(in.errors, func(a, b *config.Error) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return in.errors
}

// below returns the input for a file of the directory in.
func (in *input) below(file string) *input {
	file = oneLine(file)
	return &input{name: path.Join(in.name, file), file: file, toml: true}
}

var plainName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]{0,63}$`)

// join adds a field's name to a path in the notation of the format.
func (in *input) join(path, name string) string {
	plain := plainName.MatchString(name)
	switch {
	case plain && path == "":
		return name
	case plain:
		return path + "." + name
	case in.toml && path == "":
		return strconv.Quote(shown(name))
	case in.toml:
		return path + "." + strconv.Quote(shown(name))
	}
	return path + "[" + strconv.Quote(shown(name)) + "]"
}

// example returns the spelling for the input's format.
func (in *input) example(yaml, toml string) string {
	if in.toml {
		return toml
	}
	return yaml
}

func (in *input) word(k kind) string {
	if k == mapping && in.toml {
		return "a table"
	}
	return "a mapping"
}

// shown shortens a piece of the input for a comment, an error or a field path. Text before an "@"
// may be a login and is replaced.
func shown(s string) string {
	if at := strings.LastIndexByte(s, '@'); at >= 0 {
		s = "[redacted]" + s[at:]
	}
	if runes := []rune(s); len(runes) > maxShown {
		s = string(runes[:maxShown]) + "…"
	}
	return s
}

// maxShown is the largest number of characters of a value that a message repeats.
const maxShown = 120

// oneLine replaces characters that could end the line of a comment or error.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r == 0x7f || r == 0x85 || r == 0x2028 || r == 0x2029 || r == 0xfffd || r == 0xfeff {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
}
