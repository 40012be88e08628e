package images

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// maxDepth bounds how deep values nest; no object comes near.
const maxDepth = 1000

// parseJSON reads the documents of a text that holds nothing but JSON, one
// after the other. base is where the text begins in its file. Of an error, the
// offset in the file comes along.
func parseJSON(text string, base int) ([]*tree, int, error) {
	p := &jsonParser{text: text, base: base, decoder: json.NewDecoder(strings.NewReader(text))}
	p.decoder.UseNumber()
	var documents []*tree
	for {
		token, at, err := p.next()
		if errors.Is(err, io.EOF) {
			return documents, 0, nil
		}
		var t *tree
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

// next gives a token and the offset of its first byte in the text. The decoder
// tells where a token ends; between two there are only spaces and separators.
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

func (p *jsonParser) value(token json.Token, at, depth int) (*tree, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("is nested deeper than %d levels", maxDepth)
	}
	t := &tree{at: p.base + at}
	switch token := token.(type) {
	case string:
		t.text, t.str, t.style = token, true, double
		return t, nil
	case json.Number:
		t.text = token.String()
		return t, nil
	case bool:
		t.text = fmt.Sprint(token)
		return t, nil
	case nil:
		t.text = "null"
		return t, nil
	}
	t.style = flow
	if token == json.Delim('[') {
		t.kind = sequence
		return t, p.items(t, depth)
	}
	t.kind = mapping
	return t, p.pairs(t, depth)
}

func (p *jsonParser) items(t *tree, depth int) error {
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
		t.items = append(t.items, item)
	}
}

func (p *jsonParser) pairs(t *tree, depth int) error {
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
			// The half of what kubectl prints, and nothing in it is an image.
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
		t.pairs = append(t.pairs, pair{name, value})
	}
}

func unexpectedEnd(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
