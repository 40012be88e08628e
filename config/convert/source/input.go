package source

import (
	"cmp"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/berth-registry/berth/config"
)

// Input collects the mistakes of one input.
type Input struct {
	Name   string
	File   string // in messages about one file of a directory
	TOML   bool   // field paths are written in TOML notation
	Errors config.Errors
}

// maxErrors limits the reported mistakes; a file of another kind could give one for each line.
const maxErrors = 50

// FailAt adds a mistake. line and column are 0 for the input as a whole.
func (in *Input) FailAt(line, column int, field, message string) {
	if len(in.Errors) < maxErrors {
		in.Errors = append(in.Errors, &config.Error{File: in.Name, Line: line, Column: column,
			Field: field, Message: message})
	}
}

// Err returns the mistakes in the order of the input, nil if there are none.
func (in *Input) Err() error {
	if len(in.Errors) == 0 {
		return nil
	}
	slices.SortStableFunc(in.Errors, func(a, b *config.Error) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return in.Errors
}

// Below returns the input for a file of the directory in.
func (in *Input) Below(file string) *Input {
	file = OneLine(file)
	return &Input{Name: path.Join(in.Name, file), File: file, TOML: true}
}

var plainName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]{0,63}$`)

// Join adds a field's name to a path in the notation of the format.
func (in *Input) Join(path, name string) string {
	plain := plainName.MatchString(name)
	switch {
	case plain && path == "":
		return name
	case plain:
		return path + "." + name
	case in.TOML && path == "":
		return strconv.Quote(Shown(name))
	case in.TOML:
		return path + "." + strconv.Quote(Shown(name))
	}
	return path + "[" + strconv.Quote(Shown(name)) + "]"
}

// Example returns the spelling for the input's format.
func (in *Input) Example(yaml, toml string) string {
	if in.TOML {
		return toml
	}
	return yaml
}

func (in *Input) word(k Kind) string {
	if k == Mapping && in.TOML {
		return "a table"
	}
	return "a mapping"
}

// Shown shortens a piece of the input for a comment, an error or a field path. Text before an "@"
// may be a login and is replaced.
func Shown(s string) string {
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

// OneLine replaces characters that could end the line of a comment or error.
func OneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r == 0x7f || r == 0x85 || r == 0x2028 || r == 0x2029 || r == 0xfffd ||
			r == 0xfeff {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
}
