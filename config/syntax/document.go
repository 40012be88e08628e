// Package syntax reads the text of a RegistryConfig: YAML to Go values, strictly, with the place of
// every mistake in it. It knows no type of the config and no rule between fields; package config
// has both.
//
// Promises: an unknown or repeated name, a wrong type and a second document are errors, and each
// says what to write. A text of at most [MaxSize] bytes costs less than a second, whatever it holds.
// No message repeats a value that may be a secret.
//
// Start reading at [ParseDocument] and [Decoder.Decode]; positions are in location.go.
package syntax

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	yaml "go.yaml.in/yaml/v3"
)

// APIVersion and Kind are the required values of these two fields of a RegistryConfig.
const (
	APIVersion = "berth/v1alpha1"
	Kind       = "RegistryConfig"
)

// MaxSize is the limit of a RegistryConfig in bytes: that of a ConfigMap.
const MaxSize = 1 << 20

// ParseDocument returns the root node of the only document in data.
func ParseDocument(data []byte) (*yaml.Node, *Error) {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	if err := checkText(data); err != nil {
		return nil, err
	}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var document, second yaml.Node
	if err := decoder.Decode(&document); errors.Is(err, io.EOF) {
		return nil, &Error{Line: 1, Column: 1, Message: isEmpty}
	} else if err != nil {
		return nil, syntaxError(data, err)
	}
	if err := decoder.Decode(&second); err == nil {
		return nil, &Error{Line: second.Line, Column: second.Column,
			Message: `a second document begins here; a RegistryConfig is one document, so remove the "---" or the rest`}
	} else if !errors.Is(err, io.EOF) {
		return nil, syntaxError(data, err)
	}
	if document.Kind != yaml.DocumentNode || len(document.Content) != 1 || IsNull(document.Content[0]) {
		return nil, &Error{Line: 1, Column: 1, Message: isEmpty}
	}
	return document.Content[0], nil
}

// TooLarge says that a RegistryConfig is larger than [MaxSize].
const TooLarge = "is larger than 1 MiB, the limit of a ConfigMap; is it the right file? Move secrets and certificates into files of their own"

const (
	isEmpty  = "is empty; begin with apiVersion: " + APIVersion + " and kind: " + Kind
	isBinary = "this is a binary file; a RegistryConfig is YAML text"
)

// checkText refuses data that is not text, with a clearer error than the YAML library gives.
func checkText(data []byte) *Error {
	switch {
	case len(data) == 0:
		return &Error{Message: isEmpty}
	case len(data) > MaxSize:
		return &Error{Message: TooLarge}
	case bytes.HasPrefix(data, []byte("\xff\xfe")), bytes.HasPrefix(data, []byte("\xfe\xff")):
		return &Error{Line: 1, Column: 1, Message: "is UTF-16; save it as UTF-8"}
	}
	line, column := 1, 1
	for i := 0; i < len(data); {
		r, width := rune(data[i]), 1
		if r >= utf8.RuneSelf {
			r, width = utf8.DecodeRune(data[i:])
		}
		switch bad := r == utf8.RuneError && width == 1 || !isYAMLText(r); {
		case r == 0:
			return &Error{Line: line, Column: column, Message: "holds a NUL byte: " + isBinary}
		case bad && looksBinary(data):
			return &Error{Line: line, Column: column, Message: isBinary}
		case r == utf8.RuneError && width == 1:
			return &Error{Line: line, Column: column, Message: fmt.Sprintf("byte 0x%02x is not UTF-8; save the file as UTF-8", data[i])}
		case !isYAMLText(r):
			return &Error{Line: line, Column: column, Message: fmt.Sprintf("control character U+%04X; remove it", r)}
		}
		i, column = i+width, column+1
		if r == '\n' {
			line, column = line+1, 1
		}
	}
	return nil
}

// looksBinary distinguishes a program, an archive or a picture from a text with an invalid
// character.
func looksBinary(data []byte) bool {
	for _, magic := range []string{"\x7fELF", "\x1f\x8b", "PK\x03\x04", "BZh", "\xfd7zXZ", "\x28\xb5\x2f\xfd", "\x89PNG"} {
		if bytes.HasPrefix(data, []byte(magic)) {
			return true
		}
	}
	return bytes.IndexByte(data, 0) >= 0
}

// isYAMLText is c-printable of https://yaml.org/spec/1.2.2/#51-character-set.
func isYAMLText(r rune) bool {
	return r >= 0x20 && r < 0x7f || r == '\t' || r == '\n' || r == '\r' || r == 0x85 ||
		r >= 0xa0 && r <= 0xd7ff || r >= 0xe000 && r <= 0xfffd && r != 0xfeff || r >= 0x10000
}

// syntaxError converts an error of the YAML library. The library gives a line, often the one where
// the surrounding block starts, and no column.
func syntaxError(data []byte, err error) *Error {
	line, message := splitMessage(err)
	if better := failingLine(data, message); better > 0 {
		line = better
	}
	if line == 0 {
		line = 1 // the library does not name the first line
	}
	e := &Error{Line: line, Column: 1, Message: remedy(message)}
	lines := strings.Split(string(data), "\n")
	if line > len(lines) {
		return e
	}
	text := lines[line-1]
	indent := text[:len(text)-len(strings.TrimLeft(text, " \t"))]
	if tab := strings.IndexByte(indent, '\t'); tab >= 0 {
		e.Column, e.Message = tab+1, "a tab in the indentation; YAML wants spaces there"
		return e
	}
	e.Column = len(indent) + 1
	if strings.HasPrefix(message, "found character that cannot start") {
		for _, before := range []string{": ", "- ", "["} {
			if at := strings.IndexAny(text, "@`%\t"); at > 0 && strings.HasSuffix(text[:at], before) {
				e.Column = utf8.RuneCountInString(text[:at]) + 1
			}
		}
	}
	return e
}

// splitMessage splits "yaml: line 3: message"; line is 0 if there is none.
func splitMessage(err error) (line int, message string) {
	message = strings.TrimPrefix(err.Error(), "yaml: ")
	if rest, ok := strings.CutPrefix(message, "line "); ok {
		if number, what, ok := strings.Cut(rest, ": "); ok {
			if n, err := strconv.Atoi(number); err == nil {
				return n, what
			}
		}
	}
	return 0, message
}

// failingLine finds the first line that causes message: the smallest number of leading lines that
// fail in the same way. It returns 0 for a document too large to search.
func failingLine(data []byte, message string) int {
	const largest = 64 << 10
	if len(data) > largest {
		return 0
	}
	ends := []int{0}
	for i, c := range data {
		if c == '\n' {
			ends = append(ends, i+1)
		}
	}
	if ends[len(ends)-1] != len(data) {
		ends = append(ends, len(data))
	}
	fails := func(lines int) bool {
		var n yaml.Node
		decoder := yaml.NewDecoder(bytes.NewReader(data[:ends[lines]]))
		for {
			err := decoder.Decode(&n)
			if err != nil {
				_, got := splitMessage(err)
				return got == message
			}
		}
	}
	low, high := 0, len(ends)-1
	for low+1 < high {
		if middle := (low + high) / 2; fails(middle) {
			high = middle
		} else {
			low = middle
		}
	}
	return high
}

// repeated matches text of the document that a message of the library may repeat.
var repeated = regexp.MustCompile("'[^']*'|\"[^\"]*\"|`[^`]*`|[A-Za-z0-9+/=]{20,}")

// remedy says in Berth's words what to do about a message of the library. It repeats no word of the
// document, which may be a secret.
func remedy(message string) string {
	for _, r := range []struct{ part, says string }{
		{"tab character", "a tab in the indentation; YAML wants spaces there"},
		{"cannot start any token", "a value cannot begin with this character (a tab, @, ` or %); put the value in quotes"},
		{"unknown anchor", `a "*name" without its "&name"; a value that begins with * must be in quotes`},
		{"mapping values are not allowed", `a ": " that does not belong here; check the indentation, and put a value that holds ": " in quotes`},
		{"could not find expected ':'", `a name without its ": value"; write "name: value" with a space after the colon`},
		{"did not find expected key", "the indentation does not fit the lines before; fields of one item begin in the same column"},
		{"did not find expected '-' indicator", `a list has only items that begin with "- " in the same column`},
		{"block sequence entries are not allowed", `a "- " that does not belong here; begin the list on a line of its own`},
		{"expected ',' or ']'", `a "[" list without its "]", or items without a "," between them`},
		{"expected ',' or '}'", `a "{" mapping without its "}", or fields without a "," between them`},
		{"unexpected end of stream", "a quote that is not closed before the end of the file"},
		{"unknown escape", `a backslash in "double quotes" begins an escape; use 'single quotes' to keep it as it is`},
		{"expected hexdecimal number", `a backslash in "double quotes" begins an escape; use 'single quotes' to keep it as it is`},
		{"expected alphabetic or numeric", `a value that begins with * or & must be in quotes`},
		{"exceeded max depth", "is nested too deep for a RegistryConfig"},
	} {
		if strings.Contains(message, r.part) {
			return r.says
		}
	}
	return "is not valid YAML: " + repeated.ReplaceAllString(message, "…")
}
