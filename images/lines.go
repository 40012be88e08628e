package images

import (
	"slices"
	"strings"
)

// line gives the line of an offset, from 0.
func (s *source) line(at int) int {
	line, exact := slices.BinarySearch(s.lines, at)
	if !exact {
		line--
	}
	return line
}

// lineAt gives where the line of an offset begins.
func (s *source) lineAt(at int) int { return s.lines[s.line(at)] }

// newlineBefore gives the line end that the text has around an offset.
func (s *source) newlineBefore(at int) string {
	end := s.lineAt(at)
	if end == 0 && len(s.lines) > 1 {
		end = s.lines[1]
	}
	if strings.HasSuffix(s.text[:end], "\r\n") {
		return "\r\n"
	}
	return "\n"
}

// aboveComments goes up from a line over the comments of the same indentation.
// A line in a value would be indented deeper.
func (s *source) aboveComments(line int, indent string) int {
	for line > 0 {
		above := s.lineAt(line - 1)
		if !strings.HasPrefix(s.text[above:], indent+"#") {
			break
		}
		line = above
	}
	return line
}

func isBlank(s string) bool { return strings.Trim(s, " \t") == "" }
