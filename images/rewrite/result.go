package rewrite

import (
	"bytes"

	"github.com/berth-registry/berth/images/place"
	"github.com/berth-registry/berth/images/reference"
)

// Options control [Rewrite].
type Options struct {
	// To is the registry that images come from afterwards.
	To reference.Target
	// Only restricts the change to images of these registries or paths; empty is all.
	Only []reference.Target
	// PullSecret is the name of a secret that is added to the image pull secrets of every pod with
	// an image on To; "" adds none.
	PullSecret string
	// Env also changes images in environment variables, arguments and values of ConfigMaps. They
	// are recognised only by their form, so they are not changed by default.
	Env bool
	// AllowUnknown leaves values with the form of an image in unknown fields unchanged without
	// reporting them.
	AllowUnknown bool
}

// Result is the outcome of [Rewrite].
type Result struct {
	Text []byte
	// Changes are the changed images, in order.
	Changes []Change
	// Untouched are images that could not be changed, and pods to which the pull secret could not
	// be added, in order; one line each with the reason.
	Untouched []error
	// Notes are hints for the reader, one line each; they are not errors.
	Notes []error

	glued []int // offsets in Text of JSON directly after other JSON
}

// Stream is Text with a line "---" between JSON documents that have no separator, so that YAML
// readers accept it in a stream with other files.
func (r Result) Stream() []byte {
	var out []byte
	at := 0
	for _, begin := range r.glued {
		before := r.Text[at:begin]
		out = append(out, before...)
		if line := bytes.TrimRight(before, " \t"); len(line) == 0 || line[len(line)-1] != '\n' {
			out = append(out, '\n')
		} else {
			out = out[:len(out)-len(before)+len(line)] // without the indentation
		}
		out = append(out, "---\n"...)
		at = begin
	}
	return append(out, r.Text[at:]...)
}

// Change is a changed image.
type Change struct {
	Place    place.Place
	From, To reference.Reference
}
