package report

import (
	"fmt"
	"io"
	"strings"

	"github.com/berth-registry/berth/hostsconf"
	"github.com/berth-registry/berth/images/list"
	"github.com/berth-registry/berth/images/place"
)

// List is the result of berth images list.
type List struct {
	Images     []Image    `json:"images" yaml:"images"`
	Registries []Registry `json:"registries" yaml:"registries"`
	Problems   []string   `json:"problems,omitempty" yaml:"problems,omitempty"`
	// Unknown are values that look like an image.
	Unknown []string `json:"unknown,omitempty" yaml:"unknown,omitempty"`
}

// Image is an image and the places where it was found.
type Image struct {
	Reference  string        `json:"reference" yaml:"reference"`
	Registry   string        `json:"registry" yaml:"registry"`
	Repository string        `json:"repository" yaml:"repository"`
	Tag        string        `json:"tag,omitempty" yaml:"tag,omitempty"`
	Digest     string        `json:"digest,omitempty" yaml:"digest,omitempty"`
	Count      int           `json:"count" yaml:"count"` // how often it was found
	Found      []place.Place `json:"found" yaml:"found"`
}

// Registry is a registry that images name.
type Registry struct {
	Registry string `json:"registry" yaml:"registry"`
	Images   int    `json:"images" yaml:"images"`
	// From holds the URLs in the order in which this node asks them. It and the rest are empty
	// without a certs.d.
	From      []string `json:"from,omitempty" yaml:"from,omitempty"`
	Directory string   `json:"directory,omitempty" yaml:"directory,omitempty"`
	Note      string   `json:"note,omitempty" yaml:"note,omitempty"`
}

// NewList returns the images of l. certsDir is the directory of hosts.toml files of this node, ""
// if it has none.
func NewList(l *list.List, certsDir string) List {
	view := List{Images: []Image{}, Registries: []Registry{}}
	for _, r := range l.Registries() {
		rv := Registry{Registry: r.Registry, Images: len(r.Images)}
		if certsDir != "" {
			rv.lookUp(certsDir)
		}
		view.Registries = append(view.Registries, rv)
		for _, image := range r.Images {
			ref := image.Reference
			view.Images = append(view.Images, Image{ref.String(), ref.Registry(), ref.Repository(),
				ref.Tag(), ref.Digest(), image.Count(), image.Found})
		}
	}
	for _, err := range l.Problems() {
		view.Problems = append(view.Problems, err.Error())
	}
	for _, err := range l.Unknown() {
		view.Unknown = append(view.Unknown, err.Error())
	}
	return view
}

// lookUp tells where this node takes the images of a registry from.
func (v *Registry) lookUp(certsDir string) {
	r, err := hostsconf.Lookup(certsDir, v.Registry)
	v.Directory = r.Dir
	switch {
	case err != nil:
		v.Note = "containerd would fail: " + err.Error()
		return
	case r.Ignored != nil:
		v.Note = "containerd skips the hosts.toml: " + r.Ignored.Error()
	}
	for _, h := range r.Hosts {
		v.From = append(v.From, h.URL())
	}
}

// WriteText writes a list that [list.List.AddPlain] reads, with counts before the images if wanted.
func (v List) WriteText(w io.Writer, counts bool) error {
	var text strings.Builder
	at := 0
	for _, r := range v.Registries {
		fmt.Fprintf(&text, "# %s: %s%s\n", r.Registry, Count(r.Images, "image"), r.from())
		for _, image := range v.Images[at : at+r.Images] {
			if counts {
				fmt.Fprintf(&text, "%7d ", image.Count)
			}
			fmt.Fprintln(&text, image.Reference)
		}
		at += r.Images
		fmt.Fprintln(&text)
	}
	fmt.Fprintf(&text, "# %s of %s\n", Count(len(v.Images), "image"), Count(len(v.Registries),
		"registry"))
	_, err := io.WriteString(w, text.String())
	return err
}

func (v Registry) from() string {
	text := ""
	if len(v.From) > 0 {
		text = ", taken from " + strings.Join(v.From, ", then ")
	}
	if v.Note != "" {
		text += "; " + strings.ReplaceAll(v.Note, "\n", " ")
	}
	return text
}
