package source

import (
	"errors"
	"fmt"

	"github.com/berth-registry/berth/internal/tomldoc"
)

// TOML reads a TOML document.
func TOML(in *Input, data []byte) *Value {
	if !in.checkText(data) {
		return nil
	}
	doc, err := tomldoc.Parse(data)
	var mistake *tomldoc.SyntaxError
	switch {
	case errors.As(err, &mistake):
		in.FailAt(mistake.Line, mistake.Column, "", "is not valid TOML: "+mistake.Reason)
		return nil
	case errors.Is(err, tomldoc.ErrTooManyKeys):
		in.FailAt(0, 0, "", fmt.Sprintf("has more than %d keys and tables, which no config.toml "+
			"has; pass only the part with the registries", tomldoc.MaxKeys))
		return nil
	case err != nil:
		in.FailAt(0, 0, "", err.Error())
		return nil
	}
	return fromTOML(doc, doc.Root())
}

// fromTOML converts a value of a TOML document for the converters.
func fromTOML(doc *tomldoc.Document, from *tomldoc.Value) *Value {
	v := &Value{Text: from.Text, boolean: from.Boolean}
	v.Line, v.Column = doc.Position(from.Offset)
	switch from.Kind {
	case tomldoc.Scalar:
		v.Kind = Scalar
	case tomldoc.List:
		v.Kind = List
		for _, item := range from.Items {
			v.Items = append(v.Items, fromTOML(doc, item))
		}
	case tomldoc.Table:
		v.Kind = Mapping
		for _, f := range from.Fields {
			line, column := doc.Position(f.Offset)
			v.add(&Field{Name: f.Name, Line: line, Column: column, Value: fromTOML(doc, f.Value)})
		}
	}
	return v
}
