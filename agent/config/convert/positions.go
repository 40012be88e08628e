package convert

import (
	"bytes"
	"sort"
	"unicode/utf8"
)

// positions turns byte offsets into lines and columns.
type positions struct {
	data   []byte
	starts []int // offset of the first byte of each line
}

func newPositions(data []byte) positions {
	p := positions{data: data, starts: []int{0}}
	for at := 0; ; {
		next := bytes.IndexByte(data[at:], '\n')
		if next < 0 {
			return p
		}
		at += next + 1
		p.starts = append(p.starts, at)
	}
}

// farRight is where columns are counted in bytes: to count the characters of a
// line of megabytes for each of its values would take minutes.
const farRight = 4096

// of gives the line and the column, in characters, of the byte at offset; both
// begin at 1.
func (p positions) of(offset int) (line, column int) {
	line = sort.SearchInts(p.starts, offset+1)
	before := p.data[p.starts[line-1]:offset]
	if len(before) > farRight {
		return line, len(before) + 1
	}
	return line, utf8.RuneCount(before) + 1
}
