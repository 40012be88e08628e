package list

import (
	"path/filepath"

	"github.com/berth-registry/berth/images/layout"
	"github.com/berth-registry/berth/images/place"
	"github.com/berth-registry/berth/images/reference"
)

// AddLayout reads which images a directory in the OCI layout holds, by the names in its
// index.json. Whether they are whole is what [Checker.CheckLayout] tells.
func (l *List) AddLayout(at reference.Location) {
	from, err := layout.Open(at.Layout())
	if err != nil {
		l.AddProblem(err)
		return
	}
	images, problems := from.References()
	for _, image := range images {
		l.Add(image, place.Place{File: filepath.Join(at.Layout(), layout.IndexFile), Use: place.UseListed})
	}
	for _, problem := range problems {
		l.AddProblem(problem)
	}
	if err := from.Close(); err != nil {
		l.AddProblem(err)
	}
}
