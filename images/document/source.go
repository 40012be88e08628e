// Package document reads YAML and JSON with the position of every value, and edits the text in
// place.
//
// It promises that an edit changes its own bytes and no others: comments, quotes and line endings
// stay. Start reading at [NewSource] and [Source.Documents]; [Source.Replace] makes an edit.
package document

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/berth-registry/berth/images/place"
)

// Source is the text of one file.
type Source struct {
	Name  string
	Text  string
	Lines []int // offset of each line, split at \n as editors do

	counted struct{ at, column int } // by the last call of Place
	aligned map[*Tree]*alignment

	// For a text that is the value of a scalar in another source:
	outer *Source
	host  *Tree
	Depth int // number of sources around this one
	Roots []*Tree
}

// NewSource makes a source of data; the error says why data is not text.
func NewSource(name string, data []byte) (*Source, error) {
	s := &Source{Name: name, Text: string(data), Lines: []int{0}}
	for at := 0; ; {
		next := strings.IndexByte(s.Text[at:], '\n')
		if next < 0 {
			break
		}
		at += next + 1
		s.Lines = append(s.Lines, at)
	}
	if at, reason := binary(data); reason != "" {
		return nil, s.Problem(at, errors.New(reason))
	}
	return s, nil
}

// binary returns where and why data is not text, or "".
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

// Place returns file, line and column of an offset.
func (s *Source) Place(at int) place.Place {
	if s.outer != nil {
		if a := s.outer.align(s.host); a != nil {
			return s.outer.Place(a.start(at))
		}
		return s.outer.Place(s.host.At)
	}
	at = min(at, len(s.Text))
	line := s.line(at)
	// Places are asked for in the order of the text, so counting continues from the previous one: a
	// line of many megabytes is counted once.
	if begin := s.Lines[line]; s.counted.at < begin || s.counted.at > at {
		s.counted.at, s.counted.column = begin, 0
	}
	s.counted.column += utf8.RuneCountInString(s.Text[s.counted.at:at])
	s.counted.at = at
	return place.Place{File: s.Name, Line: line + 1, Column: s.counted.column + 1}
}

// PlaceOf returns the place of a part of a scalar's text.
func (s *Source) PlaceOf(t *Tree, from int) place.Place {
	if from > 0 && t.Kind == Scalar {
		if a := s.align(t); a != nil {
			return s.Place(a.start(from))
		}
	}
	return s.Place(t.At)
}

// Problem returns err with the place of byte at.
func (s *Source) Problem(at int, err error) *place.Problem {
	return &place.Problem{Place: s.Place(at), Err: err}
}
