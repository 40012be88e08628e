package list

import (
	"path/filepath"

	"github.com/berth-registry/berth/images/layout"
	"github.com/berth-registry/berth/images/place"
	"github.com/berth-registry/berth/images/reference"
)

// AddLayout adds the images that the index.json of a directory in the OCI image layout names. It
// does not look whether they are complete; CheckLayout of package check does.
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
