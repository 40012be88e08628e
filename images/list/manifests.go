package list

import (
	"errors"
	"io"

	"github.com/berth-registry/berth/images/document"
	"github.com/berth-registry/berth/images/inventory"
	"github.com/berth-registry/berth/images/place"
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
