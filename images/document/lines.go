package document

import (
	"slices"
	"strings"
)

// line returns the line of an offset, counted from 0.
func (s *Source) line(at int) int {
	line, exact := slices.BinarySearch(s.Lines, at)
	if !exact {
		line--
	}
	return line
}

// LineAt returns the offset at which the line of an offset begins.
func (s *Source) LineAt(at int) int { return s.Lines[s.line(at)] }

// NewlineBefore returns the line ending that the text uses near an offset.
func (s *Source) NewlineBefore(at int) string {
	end := s.LineAt(at)
	if end == 0 && len(s.Lines) > 1 {
		end = s.Lines[1]
	}
	if strings.HasSuffix(s.Text[:end], "\r\n") {
		return "\r\n"
	}
	return "\n"
}

// AboveComments returns the beginning of the comments above a line that have the same indentation.
// A line of a multi-line value would be indented more.
func (s *Source) AboveComments(line int, indent string) int {
	for line > 0 {
		above := s.LineAt(line - 1)
		if !strings.HasPrefix(s.Text[above:], indent+"#") {
			break
		}
		line = above
	}
	return line
}

// IsBlank reports whether s holds only spaces and tabs.
func IsBlank(s string) bool { return strings.Trim(s, " \t") == "" }
