package document

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// maxDepth is the limit for nested values; real objects stay far below it.
const maxDepth = 1000

// parseJSON reads the documents of a text that is JSON only, one after the other. base is the
// offset of the text in its file. The int is the offset in the file of an error.
func parseJSON(text string, base int) ([]*Tree, int, error) {
	p := &jsonParser{text: text, base: base, decoder: json.NewDecoder(strings.NewReader(text))}
	p.decoder.UseNumber()
	var documents []*Tree
	for {
		token, at, err := p.next()
		if errors.Is(err, io.EOF) {
			return documents, 0, nil
		}
		var t *Tree
		if err == nil {
			t, err = p.value(token, at, 0)
		}
		if err != nil {
			return nil, base + p.failedAt(err), err
		}
		documents = append(documents, t)
	}
}

type jsonParser struct {
	text    string
	base    int
	decoder *json.Decoder
}

// next returns a token and the offset of its first byte in the text. The decoder reports only where
// a token ends; between two tokens there are only spaces and separators.
func (p *jsonParser) next() (json.Token, int, error) {
	at := int(p.decoder.InputOffset())
	for at < len(p.text) && strings.IndexByte(" \t\r\n,:", p.text[at]) >= 0 {
		at++
	}
	token, err := p.decoder.Token()
	return token, at, err
}

func (p *jsonParser) failedAt(err error) int {
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		at := int(max(syntax.Offset-1, 0))
		for at < len(p.text) && strings.IndexByte(" \t\r\n", p.text[at]) >= 0 {
			at++
		}
		return at
	}
	return int(p.decoder.InputOffset())
}

func (p *jsonParser) value(token json.Token, at, depth int) (*Tree, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("is nested deeper than %d levels", maxDepth)
	}
	t := &Tree{At: p.base + at}
	switch token := token.(type) {
	case string:
		t.Text, t.Str, t.Style = token, true, Double
		return t, nil
	case json.Number:
		t.Text = token.String()
		return t, nil
	case bool:
		t.Text = fmt.Sprint(token)
		return t, nil
	case nil:
		t.Text = "null"
		return t, nil
	}
	t.Style = Flow
	if token == json.Delim('[') {
		t.Kind = Sequence
		return t, p.items(t, depth)
	}
	t.Kind = Mapping
	return t, p.pairs(t, depth)
}

func (p *jsonParser) items(t *Tree, depth int) error {
	for {
		token, at, err := p.next()
		if err != nil {
			return unexpectedEnd(err)
		}
		if token == json.Delim(']') {
			return nil
		}
		item, err := p.value(token, at, depth+1)
		if err != nil {
			return err
		}
		t.Items = append(t.Items, item)
	}
}

func (p *jsonParser) pairs(t *Tree, depth int) error {
	for {
		token, at, err := p.next()
		if err != nil {
			return unexpectedEnd(err)
		}
		if token == json.Delim('}') {
			return nil
		}
		name, err := p.value(token, at, depth+1)
		if err != nil {
			return err
		}
		if token == "managedFields" {
			// Half of kubectl's output; it never holds an image.
			if err := p.decoder.Decode(new(json.RawMessage)); err != nil {
				return unexpectedEnd(err)
			}
			continue
		}
		if token, at, err = p.next(); err != nil {
			return unexpectedEnd(err)
		}
		value, err := p.value(token, at, depth+1)
		if err != nil {
			return err
		}
		t.Pairs = append(t.Pairs, Pair{name, value})
	}
}

func unexpectedEnd(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
