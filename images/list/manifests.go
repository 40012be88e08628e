package list

import (
	"errors"
	"io"
	"path/filepath"

	"github.com/berth-registry/berth/images/bundle"
	"github.com/berth-registry/berth/images/document"
	"github.com/berth-registry/berth/images/inventory"
	"github.com/berth-registry/berth/images/layout"
	"github.com/berth-registry/berth/images/place"
	"github.com/berth-registry/berth/images/reference"
)

// AddManifests adds the images of a file, a directory and all below it, or stdin for
// [document.Stdin]: YAML or JSON, one document or many, as helm template and kubectl get print them
// or as a repository holds them. [document.ManifestFiles] chooses the files of a directory.
func (l *List) AddManifests(name string, stdin io.Reader) {
	files, err := document.ManifestFiles(name)
	if err != nil {
		l.AddProblem(err)
		return
	}
	for _, file := range files {
		data, err := document.ReadInput(file, stdin)
		if err != nil {
			l.AddProblem(err)
			continue
		}
		if len(data) == 0 && file == name {
			l.AddProblem(&place.Problem{Place: place.Place{File: name}, Err: errors.New("is empty")})
		}
		l.AddManifest(file, data)
	}
}

// AddManifest adds the images of data, a file of YAML or JSON documents. name is its path in messages.
func (l *List) AddManifest(name string, data []byte) {
	src, err := document.NewSource(name, data)
	if err != nil {
		l.AddProblem(err)
		return
	}
	for _, d := range src.Documents() {
		if d.Err != nil {
			l.AddProblem(d.Err)
			continue
		}
		if l.addImageList(src, d.Root) {
			continue
		}
		found, err := inventory.Find(src, d.Root)
		if err != nil {
			l.AddProblem(err)
		}
		for _, x := range found.Images {
			l.addFinding(x)
		}
		l.redis.Add(found)
	}
}

// AddLayout adds the images that the index.json of a directory in the OCI image layout, or of a
// bundle, names. It does not look whether they are complete; CheckLayout of package check does.
func (l *List) AddLayout(at reference.Location) {
	from, err := bundle.OpenLocation(at)
	if err != nil {
		l.AddProblem(err)
		return
	}
	file := at.Bundle()
	if file == "" {
		file = filepath.Join(at.Layout(), layout.IndexFile)
	}
	images, problems := from.References()
	for _, image := range images {
		l.Add(image, place.Place{File: file, Use: place.UseListed})
	}
	for _, problem := range problems {
		l.AddProblem(problem)
	}
	if err := from.Close(); err != nil {
		l.AddProblem(err)
	}
}
