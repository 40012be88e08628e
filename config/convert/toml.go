package convert

import (
	"errors"
	"fmt"

	"github.com/berth-registry/berth/internal/tomldoc"
)

// readTOML reads a TOML document.
func readTOML(in *input, data []byte) *value {
	if !in.checkText(data) {
		return nil
	}
	doc, err := tomldoc.Parse(data)
	var mistake *tomldoc.SyntaxError
	switch {
	case errors.As(err, &mistake):
		in.failAt(mistake.Line, mistake.Column, "", "is not valid TOML: "+mistake.Reason)
		return nil
	case errors.Is(err, tomldoc.ErrTooManyKeys):
		in.failAt(0, 0, "", fmt.Sprintf("has more than %d keys and tables, which no config.toml has; pass only the part with the registries", tomldoc.MaxKeys))
		return nil
	case err != nil:
		in.failAt(0, 0, "", err.Error())
		return nil
	}
	return fromTOML(doc, doc.Root())
}

// fromTOML converts a value of a TOML document for the converters.
func fromTOML(doc *tomldoc.Document, from *tomldoc.Value) *value {
	v := &value{text: from.Text, boolean: from.Boolean}
	v.line, v.column = doc.Position(from.Offset)
	switch from.Kind {
	case tomldoc.Scalar:
		v.kind = scalar
	case tomldoc.List:
		v.kind = list
		for _, item := range from.Items {
			v.items = append(v.items, fromTOML(doc, item))
		}
	case tomldoc.Table:
		v.kind = mapping
		for _, f := range from.Fields {
			line, column := doc.Position(f.Offset)
			v.add(&field{name: f.Name, line: line, column: column, value: fromTOML(doc, f.Value)})
		}
	}
	return v
}
