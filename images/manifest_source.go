package images

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"
)

// MaxInput is the size of the largest file that is read, in bytes. All objects
// of a large cluster are less.
const MaxInput = 256 << 20

// Stdin is the name of standard input.
const Stdin = "-"

// ReadInput reads a whole file, or stdin for [Stdin]. An error names the file
// and says what to do where that is known.
func ReadInput(name string, stdin io.Reader) ([]byte, error) {
	in := stdin
	if name != Stdin {
		f, err := os.Open(name)
		if err != nil {
			return nil, openError(name, err)
		}
		defer f.Close()
		in = f
	}
	data, err := io.ReadAll(io.LimitReader(in, MaxInput+1))
	switch {
	case err != nil && name == Stdin:
		return nil, fmt.Errorf("standard input: %w", err)
	case err != nil:
		return nil, err // it names the file
	case len(data) > MaxInput:
		return nil, fmt.Errorf("%s: is larger than %d MiB; split it", name, MaxInput>>20)
	}
	return data, nil
}

func openError(name string, err error) error {
	if errors.Is(err, fs.ErrNotExist) && strings.Contains(name, "://") {
		return fmt.Errorf("%s: a URL is not read; get it with curl -L and name the file, or - for standard input", name)
	}
	return err
}

// ManifestFiles lists what to read for a file, a directory or [Stdin]: the
// .yaml, .yml and .json files in a directory and all below it, in lexical
// order. Anything else is given back as it is, to be read whatever its name.
// Links are followed to files, not to directories, so that nothing is read
// twice.
func ManifestFiles(name string) ([]string, error) {
	if name == Stdin {
		return []string{name}, nil
	}
	info, err := os.Stat(name)
	if err != nil {
		return nil, openError(name, err)
	}
	if !info.IsDir() {
		return []string{name}, nil
	}
	var files []string
	err = filepath.WalkDir(name, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			// A mounted ConfigMap has its files once more in ..data.
			if path != name && strings.HasPrefix(entry.Name(), "..") {
				return filepath.SkipDir
			}
			return nil
		}
		if !isManifest(entry.Name()) {
			return nil
		}
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			return nil
		}
		files = append(files, path)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("%s: no file in this directory ends in .yaml, .yml or .json", name)
	}
	return files, nil
}

func isManifest(name string) bool {
	return slices.Contains([]string{".yaml", ".yml", ".json"}, strings.ToLower(filepath.Ext(name)))
}

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

// line gives the line of an offset, from 0.
func (s *source) line(at int) int {
	line, exact := slices.BinarySearch(s.lines, at)
	if !exact {
		line--
	}
	return line
}

func (s *source) problem(at int, err error) *Problem {
	return &Problem{Place: s.place(at), Err: err}
}
