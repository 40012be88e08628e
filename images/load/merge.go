package load

import (
	"errors"
	"io"
	"maps"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/berth-registry/berth/images/manifest"
)

// File is a source and the name by which messages call it.
type File struct {
	Name string
	Source
}

// Replaced is an image that is not loaded, because a later file has another one of its name.
type Replaced struct {
	Reference string `json:"reference" yaml:"reference"`
	From      string `json:"from" yaml:"from"`
	By        string `json:"by" yaml:"by"`
}

// Merged is several files as one source. Content that one of them leaves out, because another one
// has it, is found there.
type Merged []File

// Named implements [Source]. If files disagree about a name, the last one of them is right.
func (m Merged) Named() map[string]v1.Descriptor {
	all := map[string]v1.Descriptor{}
	for _, f := range m {
		maps.Copy(all, f.Named())
	}
	return all
}

// Replaced returns the images of earlier files that Named leaves out, by file.
func (m Merged) Replaced() []Replaced {
	all := []Replaced{}
	last := map[string]int{}
	for i, f := range m {
		for name := range f.Named() {
			last[name] = i
		}
	}
	named := m.Named()
	for _, f := range m {
		own := f.Named()
		for _, name := range slices.Sorted(maps.Keys(own)) {
			if named[name].Digest != own[name].Digest {
				all = append(all, Replaced{Reference: name, From: f.Name, By: m[last[name]].Name})
			}
		}
	}
	return all
}

// Manifest implements [Source].
func (m Merged) Manifest(d v1.Hash) (manifest.Manifest, error) {
	return first(m, func(f File) (manifest.Manifest, error) { return f.Manifest(d) })
}

// OpenBlob implements [Source].
func (m Merged) OpenBlob(d v1.Hash) (io.ReadSeekCloser, error) {
	return first(m, func(f File) (io.ReadSeekCloser, error) { return f.OpenBlob(d) })
}

// first is the result of the first file that has what is asked for. Its error is the first one that
// says more than that it is not there: another file than the one it names may have to have it.
func first[T any](m Merged, ask func(File) (T, error)) (T, error) {
	if len(m) == 1 {
		return ask(m[0])
	}
	var none T
	fault := manifest.ErrNotFound
	for _, f := range m {
		got, err := ask(f)
		if err == nil {
			return got, nil
		}
		if errors.Is(fault, manifest.ErrNotFound) && !errors.Is(err, manifest.ErrNotFound) {
			fault = err
		}
	}
	return none, fault
}
