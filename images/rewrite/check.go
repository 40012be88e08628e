package rewrite

import (
	"cmp"
	"errors"
	"fmt"

	"github.com/berth-registry/berth/images/document"
	"github.com/berth-registry/berth/images/inventory"
	"github.com/berth-registry/berth/images/place"
	"github.com/berth-registry/berth/images/reference"
)

// errDiffers is the result of a wrong edit. It protects the user's manifest from a bug of this
// package.
var errDiffers = errors.New("the result would differ in more than its images, so nothing was changed; write the images of this file on lines of their own, without anchors")

// check reads the result again and compares: only what was meant to differ differs, and every image
// is the wanted one.
func (r *rewriter) check(before []document.Document) error {
	for _, e := range r.edits {
		e.Mutate()
	}
	src, err := document.NewSource(r.src.Name, r.out.Text)
	if err != nil {
		return err
	}
	after := src.Documents()
	if len(after) != len(before) {
		return &place.Problem{Place: place.Place{File: r.src.Name}, Err: errDiffers}
	}
	var all []inventory.Occurrence
	for i, d := range after {
		if d.Err != nil {
			return fmt.Errorf("%w: %w", &place.Problem{Place: place.Place{File: r.src.Name}, Err: errDiffers}, d.Err.Err)
		}
		if d.Glued {
			r.out.glued = append(r.out.glued, d.Root.At)
		}
		if !document.Equal(before[i].Root, d.Root) {
			return r.src.Problem(before[i].Root.At, errDiffers)
		}
		found, err := inventory.Find(src, d.Root)
		if err != nil {
			return err
		}
		all = append(all, found.Images...)
	}
	if len(all) != len(r.wanted) {
		return &place.Problem{Place: place.Place{File: r.src.Name}, Err: errDiffers}
	}
	for i, want := range r.wanted {
		if got := all[i]; got.Ref != want.ref || want.text != "" && got.Text != want.text {
			return &place.Problem{Place: place.Place{File: r.src.Name}, Err: fmt.Errorf("%s would become %s: %w", reference.Quote(cmp.Or(want.text, want.ref.String())), reference.Quote(got.Text), errDiffers)}
		}
	}
	return nil
}
