package images

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// source is the text of one file.
type source struct {
	name  string
	text  string
	lines []int // where each line begins, by \n as editors count

	counted struct{ at, column int } // by the last call of place
	aligned map[*tree]*alignment

	// Of a text that is the value of a scalar in another source:
	outer *source
	host  *tree
	depth int // how many are around it
	roots []*tree
}

// newSource checks that data is text.
func newSource(name string, data []byte) (*source, error) {
	s := &source{name: name, text: string(data), lines: []int{0}}
	for at := 0; ; {
		next := strings.IndexByte(s.text[at:], '\n')
		if next < 0 {
			break
		}
		at += next + 1
		s.lines = append(s.lines, at)
	}
	if at, reason := binary(data); reason != "" {
		return nil, s.problem(at, errors.New(reason))
	}
	return s, nil
}

// binary says where and why data is no text, or "".
func binary(data []byte) (int, string) {
	if bytes.HasPrefix(data, []byte("\xff\xfe")) || bytes.HasPrefix(data, []byte("\xfe\xff")) {
		return 0, "is UTF-16; save it as UTF-8 (PowerShell: Out-File -Encoding utf8)"
	}
	if at := bytes.IndexByte(data, 0); at >= 0 {
		return at, "holds a NUL byte; this is a binary file, and text in UTF-8 is needed"
	}
	if utf8.Valid(data) {
		return 0, ""
	}
	for at := 0; ; {
		r, width := utf8.DecodeRune(data[at:])
		if r == utf8.RuneError && width <= 1 {
			return at, fmt.Sprintf("byte 0x%02x is not UTF-8; save the file as UTF-8", data[at])
		}
		at += width
	}
}

// place gives the file, line and column of an offset.
func (s *source) place(at int) Place {
	if s.outer != nil {
		if a := s.outer.align(s.host); a != nil {
			return s.outer.place(a.start(at))
		}
		return s.outer.place(s.host.at)
	}
	at = min(at, len(s.text))
	line := s.line(at)
	// Images are found in the order of the text: counting goes on from the one
	// before, so that a line of many megabytes is counted once.
	if begin := s.lines[line]; s.counted.at < begin || s.counted.at > at {
		s.counted.at, s.counted.column = begin, 0
	}
	s.counted.column += utf8.RuneCountInString(s.text[s.counted.at:at])
	s.counted.at = at
	return Place{File: s.name, Line: line + 1, Column: s.counted.column + 1}
}

// placeOf gives the place of a part of a scalar's text.
func (s *source) placeOf(t *tree, from int) Place {
	if from > 0 && t.kind == scalar {
		if a := s.align(t); a != nil {
			return s.place(a.start(from))
		}
	}
	return s.place(t.at)
}

func (s *source) problem(at int, err error) *Problem {
	return &Problem{Place: s.place(at), Err: err}
}
