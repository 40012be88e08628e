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
	Lines []int // where each line begins, by \n as editors count

	counted struct{ at, column int } // by the last call of place
	aligned map[*Tree]*alignment

	// Of a text that is the value of a scalar in another source:
	outer *Source
	host  *Tree
	Depth int // how many are around it
	Roots []*Tree
}

// NewSource checks that data is text.
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

// Place gives the file, line and column of an offset.
func (s *Source) Place(at int) place.Place {
	if s.outer != nil {
		if a := s.outer.align(s.host); a != nil {
			return s.outer.Place(a.start(at))
		}
		return s.outer.Place(s.host.At)
	}
	at = min(at, len(s.Text))
	line := s.line(at)
	// Images are found in the order of the text: counting goes on from the one
	// before, so that a line of many megabytes is counted once.
	if begin := s.Lines[line]; s.counted.at < begin || s.counted.at > at {
		s.counted.at, s.counted.column = begin, 0
	}
	s.counted.column += utf8.RuneCountInString(s.Text[s.counted.at:at])
	s.counted.at = at
	return place.Place{File: s.Name, Line: line + 1, Column: s.counted.column + 1}
}

// PlaceOf gives the place of a part of a scalar's text.
func (s *Source) PlaceOf(t *Tree, from int) place.Place {
	if from > 0 && t.Kind == Scalar {
		if a := s.align(t); a != nil {
			return s.Place(a.start(from))
		}
	}
	return s.Place(t.At)
}

func (s *Source) Problem(at int, err error) *place.Problem {
	return &place.Problem{Place: s.Place(at), Err: err}
}
