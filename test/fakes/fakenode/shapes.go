package fakenode

import (
	"embed"
	"io/fs"
	"path"
	"strings"
)

//go:embed shapes/*.txtar
var shapes embed.FS

// Shape is one kind of node.
type Shape struct {
	Name    string
	Archive []byte
}

// Shapes returns the nodes that installations are tested on.
func Shapes() ([]Shape, error) {
	names, err := fs.Glob(shapes, "shapes/*.txtar")
	if err != nil {
		return nil, err
	}
	var all []Shape
	for _, name := range names {
		raw, err := shapes.ReadFile(name)
		if err != nil {
			return nil, err
		}
		all = append(all, Shape{strings.TrimSuffix(path.Base(name), ".txtar"), raw})
	}
	return all, nil
}
