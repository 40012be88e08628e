// Package textdiff makes unified diffs, and colours them for a terminal. It hides nothing: the
// caller replaces secrets first. Start reading at [Unified] and [Write].
package textdiff

import (
	"bytes"
	"strings"

	"github.com/aymanbagabas/go-udiff"
)

// Paint colours a piece of output; style is one of the styles below.
type Paint func(style, text string) string

// The styles of [Paint].
const (
	StyleAdd      = "add"
	StyleRemove   = "remove"
	StyleHunk     = "hunk"
	StyleHead     = "head"
	StyleConflict = "conflict"
)

// Unified returns a unified diff with this many lines of context and without names of files; "" if
// the texts are equal.
func Unified(before, after string, context int) string {
	diff, err := udiff.ToUnified("", "", before, udiff.Lines(before, after), context)
	if err != nil {
		return "" // cannot happen: Lines made the edits of this text
	}
	_, diff, _ = strings.Cut(diff, "\n") // ---
	_, diff, _ = strings.Cut(diff, "\n") // +++
	return diff
}

// Write appends a diff of [Unified] to out, coloured and indented by two spaces.
func Write(out *bytes.Buffer, diff string, paint Paint) {
	styles := map[byte]string{'@': StyleHunk, '+': StyleAdd, '-': StyleRemove}
	for line := range strings.Lines(diff) {
		style, ok := styles[line[0]]
		line = "  " + strings.TrimSuffix(line, "\n")
		if ok {
			line = paint(style, line)
		}
		out.WriteString(line + "\n")
	}
}
