package textpos_test

import (
	"strings"
	"testing"

	"github.com/berth-registry/berth/internal/textpos"
)

func TestOf(t *testing.T) {
	wide := strings.Repeat("é", 3000)
	for _, test := range []struct {
		text                 string
		offset, line, column int
	}{
		{"", 0, 1, 1},
		{"ab", 1, 1, 2},
		{"ab\ncd", 2, 1, 3}, // a line end belongs to its line
		{"ab\ncd", 3, 2, 1},
		{"a\n\nb", 3, 3, 1},
		{"é=x", 2, 1, 2},          // characters
		{wide, 6000, 1, 6001},     // bytes, far right
		{"a\n" + wide, 6, 2, 3},   // relative to the line, not the text
		{"a\n", 2, 2, 1},          // the end
		{"a\r\nb", 3, 2, 1},       // CRLF
		{wide[:400], 400, 1, 201}, // characters up to there
	} {
		if line, column := textpos.New([]byte(test.text)).Of(test.offset); line != test.line || column != test.column {
			t.Errorf("%.10q at %d: %d:%d, want %d:%d", test.text, test.offset, line, column, test.line, test.column)
		}
	}
}
