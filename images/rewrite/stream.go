package rewrite

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/berth-registry/berth/images/document"
	"github.com/berth-registry/berth/images/reference"
)

// Stream rewrites one file after the other and writes them as one stream of documents. A single
// file stays as it is, byte for byte, so the first waits for a second.
type Stream struct {
	stdin    io.Reader
	w        io.Writer
	options  Options
	first    *Result // not written yet
	last     string  // what was written last
	problems []error
	notes    []string
	changed  []reference.Reference
}

// NewStream returns a stream to w. stdin is the file with the name "-".
func NewStream(stdin io.Reader, w io.Writer, o Options) *Stream {
	return &Stream{stdin: stdin, w: w, options: o}
}

// Problems returns what could not be read or changed.
func (s *Stream) Problems() []error { return s.problems }

// Add writes a file rewritten, or all below a directory. The error is one of writing; see also
// [Stream.Problems].
func (s *Stream) Add(name string) error {
	files, err := document.ManifestFiles(name)
	if err != nil {
		s.problems = append(s.problems, err)
		return nil
	}
	for _, file := range files {
		data, err := document.ReadInput(file, s.stdin)
		if err != nil {
			s.problems = append(s.problems, err)
			continue
		}
		r, err := Rewrite(file, data, s.options)
		if err != nil {
			s.problems = append(s.problems, err)
			continue
		}
		for _, err := range r.Untouched {
			if errors.Is(err, ErrIndirect) {
				err = fmt.Errorf("%w; add --env to change it", err)
			}
			s.problems = append(s.problems, err)
		}
		for _, note := range r.Notes {
			s.notes = append(s.notes, note.Error())
		}
		for _, c := range r.Changes {
			s.changed = append(s.changed, c.From)
		}
		if err := s.take(r); err != nil {
			return err
		}
	}
	return nil
}

// take writes a file, unless it may be the only one.
func (s *Stream) take(r Result) error {
	switch {
	case len(r.Text) == 0:
		return nil
	case s.first == nil && s.last == "":
		s.first = &r
		return nil
	case s.first != nil:
		first := s.first
		s.first = nil
		if err := s.write(string(first.Stream())); err != nil {
			return err
		}
	}
	return s.write(string(r.Stream()))
}

// Close writes the file that was the only one.
func (s *Stream) Close() error {
	if s.first == nil {
		return nil
	}
	return s.write(string(s.first.Text))
}

// write separates a file from the one before. The first is written as it is.
func (s *Stream) write(text string) error {
	between := ""
	if s.last != "" {
		text = strings.TrimPrefix(text, "\ufeff")
		if !strings.HasSuffix(s.last, "\n") {
			between = "\n"
		}
		switch {
		case strings.HasPrefix(text, "%"):
			between += "...\n" // directives
		case !strings.HasPrefix(text, "---"):
			between += "---\n"
		}
	}
	if text == "" {
		return nil
	}
	s.last = text
	_, err := io.WriteString(s.w, between+text)
	return err
}

// Notes returns what the reader has to know about the result, one sentence each.
func (s *Stream) Notes() []string {
	notes := s.notes
	for _, same := range s.options.To.Collisions(s.changed) {
		var names []string
		for _, r := range same {
			names = append(names, r.String())
		}
		notes = append(notes, fmt.Sprintf("%s have the same name there, %s: only one of them can "+
			"be, so use another path for one with --only and --to",
			strings.Join(names, " and "), s.options.To.Reference(same[0])))
	}
	return notes
}
