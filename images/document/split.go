package document

import (
	"errors"
	"fmt"
	"strings"

	"github.com/berth-registry/berth/images/place"
)

// Document is one document of a file.
type Document struct {
	Root *Tree // nil if it could not be read
	JSON bool
	// Glued says that it is JSON directly after other JSON: JSON readers accept that, YAML readers
	// do not.
	Glued bool
	Err   *place.Problem
}

// Documents reads all documents of a file. Each is parsed alone, so an error in one leaves the
// others readable.
func (s *Source) Documents() []Document {
	var all []Document
	for _, chunk := range split(s.Text) {
		text := s.Text[chunk.Start:chunk.End]
		trees, isJSON, at, err := parse(text, chunk.Start)
		if err != nil {
			all = append(all, Document{Err: s.Problem(at, err)})
		}
		for i, t := range trees {
			all = append(all, Document{Root: t, JSON: isJSON, Glued: i > 0})
		}
	}
	return all
}

// parse reads JSON with a JSON parser, because the YAML parser has other escapes and is much
// slower, and everything else as YAML.
func parse(text string, base int) (trees []*Tree, isJSON bool, at int, err error) {
	body := strings.TrimLeft(text, " \t\r\n")
	if first, rest, _ := strings.Cut(body, "\n"); strings.TrimRight(first, " \t\r") == "---" {
		body = strings.TrimLeft(rest, " \t\r\n") // JSON in a stream of YAML
	}
	begins := base + len(text) - len(body)
	looksJSON := strings.HasPrefix(body, "{") && !strings.HasPrefix(body, "{{") || strings.HasPrefix(body, "[")
	var jsonAt int
	var jsonErr error
	if looksJSON {
		if trees, jsonAt, jsonErr = parseJSON(body, begins); jsonErr == nil {
			return trees, true, 0, nil
		}
	}
	t, at, err := parseYAML(text, base)
	switch {
	case err == nil && t == nil:
		return nil, false, 0, nil
	case err == nil:
		return []*Tree{t}, false, 0, nil
	case isTemplate(text):
		return nil, false, base + strings.Index(text, "{{"), errTemplate
	case looksJSON && jsonLike(body):
		return nil, true, jsonAt, fmt.Errorf("is no valid JSON: %w", jsonErr)
	}
	return nil, false, at, err
}

var errTemplate = errors.New("is a template of a chart, not a manifest; render it with helm template")

func isTemplate(text string) bool { return strings.Contains(text, "{{") }

// jsonLike reports whether broken text that begins with a bracket is meant as JSON and not as YAML.
func jsonLike(body string) bool {
	rest := strings.TrimLeft(body[1:], " \t\r\n")
	return rest == "" || strings.HasPrefix(rest, `"`) || strings.HasPrefix(rest, "{")
}

// Span is a part of a text, End excluded.
type Span struct{ Start, End int }

// split cuts a stream into documents, at lines that begin with --- and after lines that begin with
// ...; YAML allows neither inside a value (https://yaml.org/spec/1.2.2/#914-explicit-documents).
// Comments and directives belong to the document after them.
func split(text string) []Span {
	var spans []Span
	start, at := 0, 0
	content := false
	if strings.HasPrefix(text, ByteOrderMark) {
		start, at = len(ByteOrderMark), len(ByteOrderMark)
	}
	for at < len(text) {
		next := len(text)
		if n := strings.IndexByte(text[at:], '\n'); n >= 0 {
			next = at + n + 1
		}
		line := text[at:next]
		switch {
		case isMarker(line, "---"):
			if content {
				spans = append(spans, Span{start, at})
				start = at
			}
			content = true
		case isMarker(line, "..."):
			if content {
				spans = append(spans, Span{start, next})
			}
			start, content = next, false
		case !content:
			trimmed := strings.TrimSpace(line)
			content = trimmed != "" && trimmed[0] != '#' && line[0] != '%'
		}
		at = next
	}
	if content {
		spans = append(spans, Span{start, len(text)})
	}
	return spans
}

// ByteOrderMark is U+FEFF, with which a UTF-8 file may begin.
const ByteOrderMark = "\ufeff"

func isMarker(line, marker string) bool {
	rest, ok := strings.CutPrefix(line, marker)
	return ok && (rest == "" || strings.IndexByte(" \t\r\n", rest[0]) >= 0)
}
