package images

import (
	"cmp"
	"errors"
	"fmt"
)

// errDiffers is what a wrong edit would end in. It stands between a mistake of
// this package and somebody's manifest.
var errDiffers = errors.New("the result would differ in more than its images, so nothing was changed; write the images of this file on lines of their own, without anchors")

// check reads the result and compares: nothing but what was meant to differ
// differs, and every image is the one that was wanted.
func (r *rewriter) check(before []document) error {
	for _, e := range r.edits {
		e.mutate()
	}
	src, err := newSource(r.src.name, r.out.Text)
	if err != nil {
		return err
	}
	after := src.documents()
	if len(after) != len(before) {
		return &Problem{Place: Place{File: r.src.name}, Err: errDiffers}
	}
	var all []finding
	for i, d := range after {
		if d.err != nil {
			return fmt.Errorf("%w: %w", &Problem{Place: Place{File: r.src.name}, Err: errDiffers}, d.err.Err)
		}
		if d.glued {
			r.out.glued = append(r.out.glued, d.root.at)
		}
		if !equal(before[i].root, d.root) {
			return r.src.problem(before[i].root.at, errDiffers)
		}
		found, err := find(src, d.root)
		if err != nil {
			return err
		}
		all = append(all, found.images...)
	}
	if len(all) != len(r.wanted) {
		return &Problem{Place: Place{File: r.src.name}, Err: errDiffers}
	}
	for i, want := range r.wanted {
		if got := all[i]; got.ref != want.ref || want.text != "" && got.text != want.text {
			return &Problem{Place: Place{File: r.src.name}, Err: fmt.Errorf("%s would become %s: %w", quote(cmp.Or(want.text, want.ref.String())), quote(got.text), errDiffers)}
		}
	}
	return nil
}
