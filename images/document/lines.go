package document

import (
	"slices"
	"strings"
)

// line gives the line of an offset, from 0.
func (s *Source) line(at int) int {
	line, exact := slices.BinarySearch(s.Lines, at)
	if !exact {
		line--
	}
	return line
}

// LineAt gives where the line of an offset begins.
func (s *Source) LineAt(at int) int { return s.Lines[s.line(at)] }

// NewlineBefore gives the line end that the text has around an offset.
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

// AboveComments goes up from a line over the comments of the same indentation.
// A line in a value would be indented deeper.
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

func IsBlank(s string) bool { return strings.Trim(s, " \t") == "" }
