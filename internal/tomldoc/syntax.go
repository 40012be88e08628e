package tomldoc

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"

	"github.com/berth-registry/berth/internal/textpos"
)

// MaxKeys limits the keys and tables of a document: the decoder's time grows with the square of the
// keys in a table.
const MaxKeys = 10_000

// ErrTooManyKeys means that a document has more than [MaxKeys] keys and tables.
var ErrTooManyKeys = fmt.Errorf("more than %d keys and tables", MaxKeys)

// SyntaxError says what is wrong with a document. It repeats no text of the document.
type SyntaxError struct {
	Line, Column int // from 1
	Reason       string
}

// Error returns, for example, "3:7: is not valid TOML: …".
func (e *SyntaxError) Error() string {
	return fmt.Sprintf("%d:%d: is not valid TOML: %s", e.Line, e.Column, e.Reason)
}

// check refuses input for which the library would take long or has no clear error.
func check(text []byte) error {
	if at := bytes.IndexByte(text, 0); at >= 0 {
		line, column := textpos.New(text).Of(at)
		return &SyntaxError{line, column, "a NUL byte: this is a binary file, or UTF-16; text in UTF-8 is needed"}
	}
	if !utf8.Valid(text) {
		at := 0
		for r, width := utf8.DecodeRune(text); r != utf8.RuneError || width != 1; r, width = utf8.DecodeRune(text[at:]) {
			at += width
		}
		line, column := textpos.New(text).Of(at)
		return &SyntaxError{line, column, fmt.Sprintf("byte 0x%02x is not UTF-8; save the file as UTF-8", text[at])}
	}
	if tooManyKeys(text) {
		return ErrTooManyKeys
	}
	return nil
}

// tooManyKeys counts keys and tables up to the limit, or to the first mistake, which the decoder
// reports.
func tooManyKeys(text []byte) bool {
	var parser unstable.Parser
	parser.Reset(text)
	count := 0
	for count <= MaxKeys && parser.NextExpression() {
		count += countKeys(parser.Expression())
	}
	return count > MaxKeys
}

// countKeys counts a table or key = value and its contents. A dotted key counts once for every
// twenty parts.
func countKeys(n *unstable.Node) int {
	count, parts := 0, 0
	for children := n.Children(); children.Next(); {
		if child := children.Node(); child.Kind == unstable.Key {
			parts++
		} else {
			count += countKeys(child)
		}
	}
	return count + (parts+19)/20
}

func syntaxError(err error) error {
	line, column := 1, 1
	var mistake *toml.DecodeError
	if errors.As(err, &mistake) {
		line, column = mistake.Position()
	}
	return &SyntaxError{line, column, reason(err)}
}

// reason converts an error of the library to one that repeats no text of the document and contains
// the remedy.
func reason(err error) string {
	message := strings.TrimPrefix(err.Error(), "toml: ")
	switch {
	case strings.HasSuffix(message, "is already defined"), strings.HasSuffix(message, "already exists"):
		return "this key or table is given twice; keep one of the two"
	case strings.Contains(message, "start of value"), strings.Contains(message, "must be quoted"):
		return "a value that is no number, true, false or date must be in quotes"
	case strings.Contains(message, "cannot have new lines"), strings.Contains(message, "terminated"):
		return "a quote is opened and not closed on its line"
	case strings.Contains(message, "escape"):
		return "a backslash in \"double quotes\" begins an escape; use 'single quotes' to keep it as it is"
	case strings.HasPrefix(message, "expected newline"):
		return "something follows the value on its line; remove it, or put the whole value in quotes"
	case strings.HasPrefix(message, "expected '='"):
		return "a key without its value; write key = \"value\""
	}
	return regexp.MustCompile(`( but got|) U\+[0-9A-Fa-f]+ '.*'`).ReplaceAllString(message, "")
}
