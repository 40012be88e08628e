// Package textpos finds the line and column of a byte in a text, for error messages. It knows no
// format. Start reading at [New].
package textpos

import (
	"bytes"
	"sort"
	"unicode/utf8"
)

// Positions converts byte offsets of one text to lines and columns.
type Positions struct {
	data   []byte
	starts []int // offset of the first byte of each line
}

// New finds the lines of data. The caller must not change data afterwards.
func New(data []byte) Positions {
	p := Positions{data: data, starts: []int{0}}
	for at := 0; ; {
		next := bytes.IndexByte(data[at:], '\n')
		if next < 0 {
			return p
		}
		at += next + 1
		p.starts = append(p.starts, at)
	}
}

// farRight is the byte offset in a line from which columns count bytes: counting the characters of
// a line of megabytes for each of its values would take minutes.
const farRight = 4096

// Of returns the line and the column, in characters, of the byte at offset. Both start at 1.
func (p Positions) Of(offset int) (line, column int) {
	line = sort.SearchInts(p.starts, offset+1)
	before := p.data[p.starts[line-1]:offset]
	if len(before) > farRight {
		return line, len(before) + 1
	}
	return line, utf8.RuneCount(before) + 1
}
