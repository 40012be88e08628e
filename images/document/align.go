package document

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// alignment maps each byte of a scalar's text to its position in the source, across escapes, quotes
// and indentation. White space has no position, because lines may be folded.
type alignment struct {
	begins, ends []int32 // -1 for white space
	after        int     // offset after the scalar and its closing quote
}

// start returns the position of the byte at an offset of the text, or of the next byte that has
// one.
func (a *alignment) start(at int) int {
	for ; at < len(a.begins); at++ {
		if a.begins[at] >= 0 {
			return int(a.begins[at])
		}
	}
	return a.after
}

// of returns the position of a part of the text. An empty part is before the byte at its offset, or
// directly after the previous byte. ok is false if there is no such position.
func (a *alignment) of(s Span) (Span, bool) {
	if s.Start < s.End {
		if a.begins[s.Start] < 0 || a.begins[s.End-1] < 0 {
			return Span{}, false
		}
		return Span{int(a.begins[s.Start]), int(a.ends[s.End-1])}, true
	}
	switch {
	case s.Start < len(a.begins) && a.begins[s.Start] >= 0:
		return Span{int(a.begins[s.Start]), int(a.begins[s.Start])}, true
	case s.Start > 0 && a.ends[s.Start-1] >= 0:
		return Span{int(a.ends[s.Start-1]), int(a.ends[s.Start-1])}, true
	}
	return Span{}, false
}

// align finds the text of a scalar in the source. It verifies the position that the parser gave:
// the result is nil unless the source has the same text there.
func (s *Source) align(t *Tree) *alignment {
	if t.Kind != Scalar || t.Text == "" || t.At >= len(s.Text) {
		return nil
	}
	if a, ok := s.aligned[t]; ok {
		return a
	}
	a := s.alignNow(t)
	if s.aligned == nil {
		s.aligned = map[*Tree]*alignment{}
	}
	s.aligned[t] = a
	return a
}

func (s *Source) alignNow(t *Tree) *alignment {
	at := t.At
	if t.Style == Literal {
		header := strings.IndexAny(s.Text[at:], "\r\n")
		if header < 0 {
			return nil
		}
		at += header
	} else {
		for at < len(s.Text) && (s.Text[at] == '&' || s.Text[at] == '!') {
			at = s.skipProperty(at)
		}
	}
	quote := byte(0)
	if t.Style == Double || t.Style == Single {
		if at >= len(s.Text) || t.Style == Double && s.Text[at] != '"' || t.Style == Single && s.Text[at] != '\'' {
			return nil
		}
		quote = s.Text[at]
		at++
	}
	a := &alignment{begins: make([]int32, len(t.Text)), ends: make([]int32, len(t.Text))}
	for i := 0; i < len(t.Text); {
		r, width := utf8.DecodeRuneInString(t.Text[i:])
		if isSpace(r) {
			for n := range width {
				a.begins[i+n], a.ends[i+n] = -1, -1
			}
			i += width
			continue
		}
		at = skipSpace(s.Text, at, quote)
		written, length := writtenRune(s.Text[min(at, len(s.Text)):], quote)
		if length == 0 || written != r {
			return nil
		}
		for n := range width {
			a.begins[i+n], a.ends[i+n] = int32(at), int32(at+length)
		}
		i, at = i+width, at+length
	}
	a.after = at
	if quote != 0 {
		at = skipSpace(s.Text, at, quote)
		if at >= len(s.Text) || s.Text[at] != quote {
			return nil
		}
		a.after = at + 1
	}
	return a
}

func isSpace(r rune) bool {
	switch r {
	case ' ', '\t', '\n', '\r', '\u0085', '\u00a0', '\u2028', '\u2029':
		return true
	}
	return false
}

// skipSpace skips white space, in double quotes also escaped white space.
func skipSpace(text string, at int, quote byte) int {
	for at < len(text) {
		r, width := utf8.DecodeRuneInString(text[at:])
		switch {
		case isSpace(r):
			at += width
		case quote == '"' && r == '\\':
			written, length := writtenRune(text[at:], quote)
			if length == 0 || !isSpace(written) {
				return at
			}
			at += length
		default:
			return at
		}
	}
	return at
}

// writtenRune reads one character with the escapes of that kind of quote; length is 0 if there is
// none.
func writtenRune(text string, quote byte) (r rune, length int) {
	if text == "" {
		return 0, 0
	}
	if quote == '\'' && text[0] == '\'' {
		if strings.HasPrefix(text, "''") {
			return '\'', 2
		}
		return 0, 0
	}
	if quote == '"' && text[0] == '"' {
		return 0, 0
	}
	if quote == '"' && text[0] == '\\' {
		return escaped(text)
	}
	r, length = utf8.DecodeRuneInString(text)
	return r, length
}

// escapes are those of YAML (https://yaml.org/spec/1.2.2/#57-escaped-characters), which include
// those of JSON.
var escapes = map[byte]rune{
	'0': 0, 'a': '\a', 'b': '\b', 't': '\t', '\t': '\t', 'n': '\n', 'v': '\v', 'f': '\f', 'r': '\r', 'e': 0x1b, ' ': ' ',
	'"': '"', '/': '/', '\\': '\\', 'N': '\u0085', '_': '\u00a0', 'L': '\u2028', 'P': '\u2029', '\n': '\n', '\r': '\r',
}

func escaped(text string) (rune, int) {
	if len(text) < 2 {
		return 0, 0
	}
	if r, ok := escapes[text[1]]; ok {
		return r, 2
	}
	digits := map[byte]int{'x': 2, 'u': 4, 'U': 8}[text[1]]
	n, ok := hexadecimal(text, 2, digits)
	if !ok {
		return 0, 0
	}
	length := 2 + digits
	if n >= 0xd800 && n < 0xdc00 && strings.HasPrefix(text[length:], `\u`) {
		if low, ok := hexadecimal(text, length+2, 4); ok && low >= 0xdc00 && low < 0xe000 {
			return 0x10000 + (rune(n)-0xd800)<<10 + rune(low) - 0xdc00, length + 6
		}
	}
	return rune(n), length
}

func hexadecimal(text string, at, digits int) (uint64, bool) {
	if digits == 0 || at+digits > len(text) {
		return 0, false
	}
	n, err := strconv.ParseUint(text[at:at+digits], 16, 32)
	return n, err == nil
}

// skipProperty skips an anchor or a tag and the space after it.
func (s *Source) skipProperty(at int) int {
	for at < len(s.Text) && strings.IndexByte(" \t\r\n", s.Text[at]) < 0 {
		at++
	}
	for at < len(s.Text) && strings.IndexByte(" \t\r\n", s.Text[at]) >= 0 {
		at++
	}
	return at
}
