// Package rewrite points the images of manifests at another registry.
//
// It promises that nothing but images (and pull secrets, on request) changes in a file, not one
// byte, or that the file is refused. Start reading at [Rewrite].
package rewrite

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/berth-registry/berth/images/document"
	"github.com/berth-registry/berth/images/inventory"
	"github.com/berth-registry/berth/images/place"
	"github.com/berth-registry/berth/images/reference"
	"github.com/berth-registry/berth/internal/imagename"
)

// Rewrite points the images of a manifest, YAML or JSON, at another registry. Each keeps its
// repository path, tag and digest; an image that is already there stays. No other byte changes:
// images are replaced in place, and the result is read again and compared. name is the file's name
// in errors. An error means that the file was not read or cannot be changed in this way; it has one
// line for each reason.
func Rewrite(name string, data []byte, o Options) (Result, error) {
	src, err := document.NewSource(name, data)
	if err != nil {
		return Result{}, err
	}
	documents := src.Documents()
	var errs []error
	for _, d := range documents {
		if d.Err != nil {
			errs = append(errs, d.Err)
		}
	}
	if len(errs) > 0 {
		return Result{}, errors.Join(errs...)
	}
	r := &rewriter{src: src, o: o}
	for _, d := range documents {
		if err := r.document(d); err != nil {
			return Result{}, err
		}
	}
	for _, err := range r.redis.Problems(func(place.Place) bool { return true }) {
		if p, ok := errors.AsType[*place.Problem](err); ok {
			r.kept = append(r.kept, p)
		}
	}
	slices.SortStableFunc(r.kept, func(a, b *place.Problem) int {
		return cmp.Or(cmp.Compare(a.Place.Line, b.Place.Line), cmp.Compare(a.Place.Column, b.Place.Column))
	})
	for _, p := range r.kept {
		r.out.Untouched = append(r.out.Untouched, p)
	}
	r.out.Text = []byte(document.Apply(src.Text, r.edits))
	if err := r.check(documents); err != nil {
		return Result{}, err
	}
	return r.out, nil
}

// rewriter collects the changes of one file.
type rewriter struct {
	src    *document.Source
	o      Options
	out    Result
	edits  []document.Edit
	wanted []wanted // for every image of the file, in order
	kept   []*place.Problem
	redis  inventory.Redis

	// For the current document:
	json  bool
	texts map[*document.Tree]document.TextChange // new texts of scalars and aliases
	pods  map[*document.Tree]bool                // pods that have the secret
	added map[*document.Tree]bool                // mappings that got a registry
}

// wanted is the expected state of an image: another reference, or its text unchanged.
type wanted struct {
	ref  reference.Reference
	text string
}

// planned is an image with the new texts of its scalars, or of the aliases in their place; changes
// is nil if it stays.
type planned struct {
	inventory.Occurrence
	changes map[*document.Tree]document.TextChange
	insert  *document.Edit // adds a field for the registry where there is none
}

// document plans the changes of one document.
func (r *rewriter) document(d document.Document) error {
	inventory, err := inventory.Find(r.src, d.Root)
	if err != nil {
		return err
	}
	r.redis.Add(inventory)
	found := inventory.Images
	r.json, r.texts, r.pods, r.added = d.JSON, map[*document.Tree]document.TextChange{}, map[*document.Tree]bool{}, map[*document.Tree]bool{}
	plan := make([]*planned, len(found))
	for i, x := range found {
		plan[i] = &planned{Occurrence: x}
	}
	for begin := 0; begin < len(plan); {
		end := begin + 1
		for end < len(plan) && plan[begin].Whole != nil && plan[end].Whole == plan[begin].Whole && plan[end].Place.Field == plan[begin].Place.Field {
			end++ // several images in one text
		}
		r.planGroup(plan[begin:end])
		begin = end
	}
	followed := r.followAliases(plan)
	r.keepAnchors(d.Root, plan, followed)
	seen := map[*document.Source]bool{r.src: true}
	for _, x := range found {
		if !seen[x.Source] {
			seen[x.Source] = true
			for _, root := range x.Source.Roots {
				r.keepAnchors(root, plan, followed)
			}
		}
	}
	edits := map[*document.Source][]document.Edit{}
	for _, t := range slices.SortedFunc(maps.Keys(r.texts), func(a, b *document.Tree) int { return cmp.Compare(a.At, b.At) }) {
		c := r.texts[t]
		e, err := c.Source.Replace(t, c)
		if err != nil {
			return c.Source.Problem(t.At, err)
		}
		edits[c.Source] = append(edits[c.Source], e)
	}
	for _, x := range plan {
		if x.changes != nil && x.insert != nil {
			edits[x.Source] = append(edits[x.Source], *x.insert)
		}
	}
	if err := document.Lift(edits); err != nil {
		return r.src.Problem(d.Root.At, err)
	}
	r.edits = append(r.edits, edits[r.src]...)
	r.finish(plan)
	return nil
}

// planGroup plans the changes of one image, or of several in one text.
func (r *rewriter) planGroup(group []*planned) {
	all := map[*document.Tree]document.TextChange{}
	var meant []*planned
	for _, x := range group {
		if !r.isSelected(x.Occurrence) {
			continue
		}
		changes, err := r.changesOf(x)
		if err != nil {
			r.untouched(x.Occurrence, err)
			continue
		}
		meant = append(meant, x)
		for t, c := range changes {
			c.Pieces = append(all[t].Pieces, c.Pieces...)
			all[t] = c
		}
	}
	if len(meant) == 0 {
		return
	}
	for t, c := range all {
		c.Text = replaced(t.Word(), c.Pieces)
		all[t] = c
	}
	if err := r.register(all); err != nil {
		for _, x := range meant {
			r.untouched(x.Occurrence, fmt.Errorf("image %s: %w", reference.Quote(x.Ref.String()), err))
		}
		return
	}
	for _, x := range meant {
		x.changes = all
	}
}

// replaced applies pieces, which must not overlap.
func replaced(text string, pieces []document.Piece) string {
	edits := make([]document.Edit, len(pieces))
	for i, p := range pieces {
		edits[i] = document.Edit{Span: p.Span, Text: p.Text}
	}
	return document.Apply(text, edits)
}

// isSelected reports whether an image is to be changed. Where the answer no may surprise, it
// records the reason.
func (r *rewriter) isSelected(x inventory.Occurrence) bool {
	switch {
	case x.Ref.IsZero():
		r.untouched(x, x.Err)
	case r.o.To.Holds(x.Ref):
	case len(r.o.Only) > 0 && !slices.ContainsFunc(r.o.Only, func(t reference.Target) bool { return t.Holds(x.Ref) }):
	case x.Unknown != nil:
		if !r.o.AllowUnknown {
			r.untouched(x, x.Err)
		}
	case x.Fixed != nil:
		r.untouched(x, fmt.Errorf("image %s: %w", reference.Quote(x.Ref.String()), x.Fixed))
	case !r.o.Env && (x.Place.Use == place.UseEnv || x.Place.Use == place.UseArgument || x.Place.Use == place.UseData):
		r.untouched(x, fmt.Errorf("image %s: %w", reference.Quote(x.Ref.String()), ErrIndirect))
	default:
		return true
	}
	return false
}

// ErrIndirect is why an image in an environment variable, an argument or a ConfigMap is not
// changed: it is recognised only by its form.
var ErrIndirect = errors.New("is recognised only by its form, in a variable, an argument or a ConfigMap")

func (r *rewriter) untouched(x inventory.Occurrence, err error) {
	r.kept = append(r.kept, &place.Problem{Place: x.Place, Err: fmt.Errorf("not changed: %w", err)})
}

// changesOf returns the new texts of an image's scalars, or of the aliases in their place.
func (r *rewriter) changesOf(x *planned) (map[*document.Tree]document.TextChange, error) {
	to := r.o.To.Reference(x.Ref)
	if x.Whole != nil {
		name := x.Span
		name.End -= len(reference.SuffixOf(x.Whole.Word()[name.Start:name.End]))
		return map[*document.Tree]document.TextChange{x.Whole: {Source: x.Source, Pieces: []document.Piece{{Span: name, Text: to.Name()}}}}, nil
	}
	p := x.Parts
	repository := to.Repository()
	if image := p.Image.Word(); image != "" {
		last := "/" + strings.TrimSuffix(image, reference.SuffixOf(image))
		if !strings.HasSuffix(repository, last) {
			return nil, fmt.Errorf("image %s: repository and image do not fit together", reference.Quote(x.Ref.String()))
		}
		repository = strings.TrimSuffix(repository, last)
	} else {
		repository += reference.SuffixOf(p.Repository.Word())
	}
	all := map[*document.Tree]document.TextChange{}
	set := func(t *document.Tree, text string) {
		if t.Word() != text {
			all[t] = document.TextChange{Source: x.Source, Pieces: []document.Piece{{Span: document.Span{Start: 0, End: len(t.Word())}, Text: text}}}
		}
	}
	switch {
	case p.Registry.Word() != "":
		set(p.Registry, to.Registry())
	case p.Lacks != nil && p.Registry == nil && !imagename.HasRegistry(p.Repository.Word()):
		e, ok := x.Source.NewField(p.Lacks, "repository", "registry", to.Registry())
		if !ok || r.added[p.Lacks] {
			return nil, fmt.Errorf("image %s: a field registry cannot be added here; write registry: %s", reference.Quote(x.Ref.String()), to.Registry())
		}
		r.added[p.Lacks] = true
		x.insert = &e
	default:
		repository = to.Registry() + "/" + repository
	}
	set(p.Repository, repository)
	return all, nil
}

// register records new texts of scalars. It refuses a scalar that cannot be changed at its
// position, and one that would need another text for another image, which merge keys and a common
// repository make possible.
func (r *rewriter) register(changes map[*document.Tree]document.TextChange) error {
	for t, c := range changes {
		if before, ok := r.texts[t]; ok && before.Text != c.Text {
			return errShared
		}
		if err := c.Source.CanReplace(t, c); err != nil {
			return err
		}
	}
	for t, c := range changes {
		if t.Kind == document.Scalar {
			r.texts[t] = c
		}
	}
	return nil
}

var errShared = errors.New("another image shares its text and needs a different one; write it out for each")

// followAliases returns the aliases that get the right text through the change of their target; the
// other ones are replaced themselves.
func (r *rewriter) followAliases(plan []*planned) map[*document.Tree]bool {
	followed := map[*document.Tree]bool{}
	for _, x := range plan {
		for t, c := range x.changes {
			if t.Kind != document.Alias {
				continue
			}
			if target, ok := r.texts[t.Target]; ok && target.Text == c.Text {
				followed[t] = true
			} else {
				r.texts[t] = c
			}
		}
	}
	return followed
}

// keepAnchors cancels changes of an anchored scalar if an alias of it is used for something else
// than an image.
func (r *rewriter) keepAnchors(root *document.Tree, plan []*planned, followed map[*document.Tree]bool) {
	changes := func(t *document.Tree) bool { _, ok := r.texts[t]; return ok }
	document.Walk(root, func(t *document.Tree) {
		if t.Kind != document.Alias || followed[t] || changes(t) || !changes(t.Target) {
			return
		}
		line := r.texts[t.Target].Source.Place(t.At).Line
		delete(r.texts, t.Target)
		for _, x := range plan {
			for each := range x.changes {
				if each.Resolve() == t.Target && !changes(each) {
					r.untouched(x.Occurrence, fmt.Errorf("image %s: its anchor &%s is used for something else in line %d; write the image out",
						reference.Quote(x.Ref.String()), t.Target.Anchor, line))
					for other := range x.changes {
						delete(r.texts, other)
					}
					x.changes = nil
					break
				}
			}
		}
	})
}

// finish adds pull secrets, and records the expected state of every image of the document.
func (r *rewriter) finish(plan []*planned) {
	noted := map[string]bool{}
	for _, x := range plan {
		ref, want := x.Ref, wanted{x.Ref, x.Text}
		if x.changes != nil {
			ref = r.o.To.Reference(ref)
			want = wanted{ref: ref}
			r.out.Changes = append(r.out.Changes, Change{x.Place, x.Ref, ref})
		}
		r.wanted = append(r.wanted, want)
		if r.o.PullSecret == "" || ref.IsZero() || !r.o.To.Holds(ref) || x.Fixed != nil || x.Unknown != nil || x.Note {
			continue
		}
		if x.Pod != nil {
			r.addSecret(x.Pod)
			continue
		}
		object := place.Place{File: x.Place.File, Kind: x.Place.Kind, Namespace: x.Place.Namespace, Name: x.Place.Name}
		if !noted[object.String()] {
			noted[object.String()] = true
			r.out.Notes = append(r.out.Notes, &place.Problem{Place: object,
				Err: fmt.Errorf("the field for pull secrets is not known here; add %s yourself if it needs one", r.o.PullSecret)})
		}
	}
}
