package images

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// RewriteOptions say what [Rewrite] does.
type RewriteOptions struct {
	// To is where the images come from afterwards.
	To Target
	// Only are the registries, or parts of them, whose images are changed;
	// all if there is none.
	Only []Target
	// PullSecret is the name of a secret that every pod with an image on To
	// gets among its image pull secrets; none if it is "".
	PullSecret string
	// Env changes images in environment variables, arguments and the values of
	// ConfigMaps too. They are recognised by their looks, so they are left alone
	// otherwise.
	Env bool
	// AllowUnknown leaves what looks like an image, at a place that is not known
	// for them, alone without a word.
	AllowUnknown bool
}

// Rewritten is a manifest after [Rewrite].
type Rewritten struct {
	Text []byte
	// Changes are the images that were changed, in order.
	Changes []Change
	// Untouched are images that had to stay as they are, and pods that lack
	// the pull secret, in order, one line each with the reason.
	Untouched []error
	// Notes are for the reader, one line each; nothing is wrong.
	Notes []error

	glued []int // where JSON begins in Text that only JSON's readers tell from the JSON before it
}

// Stream is the text as it can stand in a stream with other files: between JSON
// documents that nothing separates, which no reader of YAML takes, there is a
// line "---".
func (r Rewritten) Stream() []byte {
	var out []byte
	at := 0
	for _, begin := range r.glued {
		before := r.Text[at:begin]
		out = append(out, before...)
		if line := bytes.TrimRight(before, " \t"); len(line) == 0 || line[len(line)-1] != '\n' {
			out = append(out, '\n')
		} else {
			out = out[:len(out)-len(before)+len(line)] // the indentation
		}
		out = append(out, "---\n"...)
		at = begin
	}
	return append(out, r.Text[at:]...)
}

// Change is an image that points elsewhere now.
type Change struct {
	Place    Place
	From, To Reference
}

// Rewrite points the images of a manifest, YAML or JSON, at another registry.
// Each keeps its repository path, tag and digest; one that is there already is
// left alone. Nothing else of the text changes, not a comment, a quote or a
// line end: the images are replaced where they stand, and the result is read
// again and compared. An error means that the file, which name stands for, was
// not read or could not be changed in this way; it has one line for each
// reason.
func Rewrite(name string, data []byte, o RewriteOptions) (Rewritten, error) {
	src, err := newSource(name, data)
	if err != nil {
		return Rewritten{}, err
	}
	documents := src.documents()
	var errs []error
	for _, d := range documents {
		if d.err != nil {
			errs = append(errs, d.err)
		}
	}
	if len(errs) > 0 {
		return Rewritten{}, errors.Join(errs...)
	}
	r := &rewriter{src: src, o: o}
	for _, d := range documents {
		if err := r.document(d); err != nil {
			return Rewritten{}, err
		}
	}
	for _, err := range r.redis.problems(func(Place) bool { return true }) {
		if p, ok := errors.AsType[*Problem](err); ok {
			r.kept = append(r.kept, p)
		}
	}
	slices.SortStableFunc(r.kept, func(a, b *Problem) int {
		return cmp.Or(cmp.Compare(a.Place.Line, b.Place.Line), cmp.Compare(a.Place.Column, b.Place.Column))
	})
	for _, p := range r.kept {
		r.out.Untouched = append(r.out.Untouched, p)
	}
	r.out.Text = []byte(apply(src.text, r.edits))
	if err := r.check(documents); err != nil {
		return Rewritten{}, err
	}
	return r.out, nil
}

// rewriter collects what is to change in one file.
type rewriter struct {
	src    *source
	o      RewriteOptions
	out    Rewritten
	edits  []edit
	wanted []wanted // of every image of the file, in order
	kept   []*Problem
	redis  redis

	// Of the document at hand:
	json  bool
	texts map[*tree]change // what scalars and aliases have to say
	pods  map[*tree]bool   // those that have the secret
	added map[*tree]bool   // mappings that have got a registry
}

// wanted is what an image shall be: another reference, or the text that it is.
type wanted struct {
	ref  Reference
	text string
}

// planned is an image, and what the scalars that it is written in, or the
// aliases that are in their place, have to say; nil if it stays.
type planned struct {
	finding
	changes map[*tree]change
	insert  *edit // of a registry, if there is no place for it yet
}

// document plans the changes of one document.
func (r *rewriter) document(d document) error {
	inventory, err := find(r.src, d.root)
	if err != nil {
		return err
	}
	r.redis.add(inventory)
	found := inventory.images
	r.json, r.texts, r.pods, r.added = d.json, map[*tree]change{}, map[*tree]bool{}, map[*tree]bool{}
	plan := make([]*planned, len(found))
	for i, x := range found {
		plan[i] = &planned{finding: x}
	}
	for begin := 0; begin < len(plan); {
		end := begin + 1
		for end < len(plan) && plan[begin].whole != nil && plan[end].whole == plan[begin].whole && plan[end].place.Field == plan[begin].place.Field {
			end++ // images in one text
		}
		r.together(plan[begin:end])
		begin = end
	}
	followed := r.followAliases(plan)
	r.keepAnchors(d.root, plan, followed)
	seen := map[*source]bool{r.src: true}
	for _, x := range found {
		if !seen[x.src] {
			seen[x.src] = true
			for _, root := range x.src.roots {
				r.keepAnchors(root, plan, followed)
			}
		}
	}
	edits := map[*source][]edit{}
	for _, t := range slices.SortedFunc(maps.Keys(r.texts), func(a, b *tree) int { return cmp.Compare(a.at, b.at) }) {
		c := r.texts[t]
		e, err := c.src.replace(t, c)
		if err != nil {
			return c.src.problem(t.at, err)
		}
		edits[c.src] = append(edits[c.src], e)
	}
	for _, x := range plan {
		if x.changes != nil && x.insert != nil {
			edits[x.src] = append(edits[x.src], *x.insert)
		}
	}
	if err := outermostChange(edits); err != nil {
		return r.src.problem(d.root.at, err)
	}
	r.edits = append(r.edits, edits[r.src]...)
	r.finish(plan)
	return nil
}

// together plans the changes of one image, or of several in one text.
func (r *rewriter) together(group []*planned) {
	all := map[*tree]change{}
	var meant []*planned
	for _, x := range group {
		if !r.isMeant(x.finding) {
			continue
		}
		changes, err := r.changesOf(x)
		if err != nil {
			r.untouched(x.finding, err)
			continue
		}
		meant = append(meant, x)
		for t, c := range changes {
			c.pieces = append(all[t].pieces, c.pieces...)
			all[t] = c
		}
	}
	if len(meant) == 0 {
		return
	}
	for t, c := range all {
		c.text = replaced(t.word(), c.pieces)
		all[t] = c
	}
	if err := r.agree(all); err != nil {
		for _, x := range meant {
			r.untouched(x.finding, fmt.Errorf("image %s: %w", quote(x.ref.String()), err))
		}
		return
	}
	for _, x := range meant {
		x.changes = all
	}
}

// replaced carries out pieces in their order.
func replaced(text string, pieces []piece) string {
	var out strings.Builder
	at := 0
	for _, p := range pieces {
		out.WriteString(text[at:p.start])
		out.WriteString(p.text)
		at = p.end
	}
	out.WriteString(text[at:])
	return out.String()
}

// isMeant reports whether an image is to be changed, and says why not where
// that may surprise.
func (r *rewriter) isMeant(x finding) bool {
	switch {
	case x.ref.IsZero():
		r.untouched(x, x.err)
	case r.o.To.Holds(x.ref):
	case len(r.o.Only) > 0 && !slices.ContainsFunc(r.o.Only, func(t Target) bool { return t.Holds(x.ref) }):
	case x.unknown != nil:
		if !r.o.AllowUnknown {
			r.untouched(x, x.err)
		}
	case x.fixed != nil:
		r.untouched(x, fmt.Errorf("image %s: %w", quote(x.ref.String()), x.fixed))
	case !r.o.Env && (x.place.Use == UseEnv || x.place.Use == UseArgument || x.place.Use == UseData):
		r.untouched(x, fmt.Errorf("image %s: %w", quote(x.ref.String()), ErrIndirect))
	default:
		return true
	}
	return false
}

// ErrIndirect is the reason for leaving an image alone that is recognised by its
// looks, in an environment variable, an argument or a ConfigMap.
var ErrIndirect = errors.New("is recognised by its looks, in a variable, an argument or a ConfigMap")

func (r *rewriter) untouched(x finding, err error) {
	r.kept = append(r.kept, &Problem{Place: x.place, Err: fmt.Errorf("not changed: %w", err)})
}

// changesOf gives what the scalars of an image, or the aliases that are in their
// place, have to say.
func (r *rewriter) changesOf(x *planned) (map[*tree]change, error) {
	to := r.o.To.Reference(x.ref)
	if x.whole != nil {
		name := x.span
		name.end -= len(suffixOf(x.whole.word()[name.start:name.end]))
		return map[*tree]change{x.whole: {src: x.src, pieces: []piece{{name, to.Name()}}}}, nil
	}
	p := x.parts
	repository := to.Repository()
	if image := p.image.word(); image != "" {
		last := "/" + strings.TrimSuffix(image, suffixOf(image))
		if !strings.HasSuffix(repository, last) {
			return nil, fmt.Errorf("image %s: repository and image do not fit together", quote(x.ref.String()))
		}
		repository = strings.TrimSuffix(repository, last)
	} else {
		repository += suffixOf(p.repository.word())
	}
	all := map[*tree]change{}
	set := func(t *tree, text string) {
		if t.word() != text {
			all[t] = change{src: x.src, pieces: []piece{{span{0, len(t.word())}, text}}}
		}
	}
	switch {
	case p.registry.word() != "":
		set(p.registry, to.Registry())
	case p.lacks != nil && p.registry == nil && !hasHost(p.repository.word()):
		e, ok := x.src.newField(p.lacks, "repository", "registry", to.Registry())
		if !ok || r.added[p.lacks] {
			return nil, fmt.Errorf("image %s: a field registry cannot be added here; write registry: %s", quote(x.ref.String()), to.Registry())
		}
		r.added[p.lacks] = true
		x.insert = &e
	default:
		repository = to.Registry() + "/" + repository
	}
	set(p.repository, repository)
	return all, nil
}

// hasHost reports whether a repository begins with a registry.
func hasHost(repository string) bool {
	first, _, ok := strings.Cut(repository, "/")
	return ok && (strings.ContainsAny(first, ".:") || first == "localhost")
}

// agree notes what scalars have to say. It refuses one that cannot be changed
// where it is, and one that has to say something else for another image; merge
// keys and a repository for all images make that possible.
func (r *rewriter) agree(changes map[*tree]change) error {
	for t, c := range changes {
		if before, ok := r.texts[t]; ok && before.text != c.text {
			return errShared
		}
		if err := c.src.canReplace(t, c); err != nil {
			return err
		}
	}
	for t, c := range changes {
		if t.kind == scalar {
			r.texts[t] = c
		}
	}
	return nil
}

var errShared = errors.New("its text belongs to another image too, which would differ; write it out for each")

// followAliases gives the aliases that say the right thing once the scalar that
// they are in the place of is changed, and has the others replaced.
func (r *rewriter) followAliases(plan []*planned) map[*tree]bool {
	followed := map[*tree]bool{}
	for _, x := range plan {
		for t, c := range x.changes {
			if t.kind != alias {
				continue
			}
			if target, ok := r.texts[t.target]; ok && target.text == c.text {
				followed[t] = true
			} else {
				r.texts[t] = c
			}
		}
	}
	return followed
}

// keepAnchors gives up changes of scalars with an anchor that something else
// than an image is an alias of.
func (r *rewriter) keepAnchors(root *tree, plan []*planned, followed map[*tree]bool) {
	changes := func(t *tree) bool { _, ok := r.texts[t]; return ok }
	walk(root, func(t *tree) {
		if t.kind != alias || followed[t] || changes(t) || !changes(t.target) {
			return
		}
		line := r.texts[t.target].src.place(t.at).Line
		delete(r.texts, t.target)
		for _, x := range plan {
			for each := range x.changes {
				if each.resolve() == t.target && !changes(each) {
					r.untouched(x.finding, fmt.Errorf("image %s: its anchor &%s stands for something else in line %d too; write the image out",
						quote(x.ref.String()), t.target.anchor, line))
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

// finish adds pull secrets, and notes what every image of the document shall
// be.
func (r *rewriter) finish(plan []*planned) {
	noted := map[string]bool{}
	for _, x := range plan {
		ref, want := x.ref, wanted{x.ref, x.text}
		if x.changes != nil {
			ref = r.o.To.Reference(ref)
			want = wanted{ref: ref}
			r.out.Changes = append(r.out.Changes, Change{x.place, x.ref, ref})
		}
		r.wanted = append(r.wanted, want)
		if r.o.PullSecret == "" || ref.IsZero() || !r.o.To.Holds(ref) || x.fixed != nil || x.unknown != nil || x.note {
			continue
		}
		if x.pod != nil {
			r.addSecret(x.pod)
			continue
		}
		object := Place{File: x.place.File, Kind: x.place.Kind, Namespace: x.place.Namespace, Name: x.place.Name}
		if !noted[object.String()] {
			noted[object.String()] = true
			r.out.Notes = append(r.out.Notes, &Problem{Place: object,
				Err: fmt.Errorf("it is not known where pull secrets belong here; add %s yourself if it needs one", r.o.PullSecret)})
		}
	}
}
