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
	// Env changes images in environment variables and arguments too. They are
	// recognised by their looks, so they are left alone otherwise.
	Env bool
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

	// Of the document at hand:
	json  bool
	texts map[*tree]string // what scalars and aliases shall say
	pods  map[*tree]bool   // those that have the secret
}

// wanted is what an image shall be: another reference, or the text that it is.
type wanted struct {
	ref  Reference
	text string
}

// planned is an image, and what the scalars that it is written in, or the
// aliases that stand in their place, shall say; nil if it stays.
type planned struct {
	finding
	texts map[*tree]string
}

// document plans the changes of one document.
func (r *rewriter) document(d document) error {
	found, err := r.src.find(d.root)
	if err != nil {
		return err
	}
	r.json, r.texts, r.pods = d.json, map[*tree]string{}, map[*tree]bool{}
	plan := make([]*planned, len(found))
	for i, x := range found {
		plan[i] = &planned{finding: x}
		if !r.isMeant(x) {
			continue
		}
		texts, err := r.textsOf(x)
		if err == nil {
			err = r.agree(x, texts)
		}
		if err != nil {
			r.untouched(x, err)
			continue
		}
		plan[i].texts = texts
	}
	r.keepAnchors(d.root, plan, r.followAliases(plan))
	for _, t := range slices.SortedFunc(maps.Keys(r.texts), func(a, b *tree) int { return cmp.Compare(a.at, b.at) }) {
		e, err := r.src.replace(t, r.texts[t])
		if err != nil {
			return r.src.problem(t.at, err)
		}
		r.edits = append(r.edits, e)
	}
	r.finish(plan)
	return nil
}

// isMeant reports whether an image is to be changed, and says why not where
// that may surprise.
func (r *rewriter) isMeant(x finding) bool {
	switch {
	case x.ref.IsZero():
		r.untouched(x, x.err)
	case r.o.To.Holds(x.ref):
	case len(r.o.Only) > 0 && !slices.ContainsFunc(r.o.Only, func(t Target) bool { return t.Holds(x.ref) }):
	case x.fixed != nil:
		r.untouched(x, fmt.Errorf("image %s: %w", quote(x.ref.String()), x.fixed))
	case !r.o.Env && (x.place.Use == UseEnv || x.place.Use == UseArgument):
		r.untouched(x, fmt.Errorf("image %s: %w", quote(x.ref.String()), ErrIndirect))
	default:
		return true
	}
	return false
}

// ErrIndirect is the reason for leaving an image alone that stands in an
// environment variable or an argument.
var ErrIndirect = errors.New("stands in an environment variable or an argument")

func (r *rewriter) untouched(x finding, err error) {
	r.kept = append(r.kept, &Problem{Place: x.place, Err: fmt.Errorf("not changed: %w", err)})
}

// textsOf gives what the scalars of an image, or the aliases that stand in
// their place, shall say.
func (r *rewriter) textsOf(x finding) (map[*tree]string, error) {
	to := r.o.To.Reference(x.ref)
	if x.whole != nil {
		written := x.whole.word()
		return map[*tree]string{x.whole: written[:x.skip] + to.Name() + suffixOf(written[x.skip:])}, nil
	}
	p := x.parts
	repository := to.repository
	if image := p.image.word(); image != "" {
		last := "/" + strings.TrimSuffix(image, suffixOf(image))
		if !strings.HasSuffix(repository, last) {
			return nil, fmt.Errorf("image %s: repository and image do not fit together", quote(x.ref.String()))
		}
		repository = strings.TrimSuffix(repository, last)
	} else {
		repository += suffixOf(p.repository.word())
	}
	if p.registry.word() != "" {
		return map[*tree]string{p.registry: to.registry, p.repository: repository}, nil
	}
	return map[*tree]string{p.repository: to.registry + "/" + repository}, nil
}

// suffixOf is the tag and digest that an image is written with.
func suffixOf(text string) string {
	begin := strings.LastIndexByte(text, '/') + 1
	if at := strings.IndexAny(text[begin:], ":@"); at >= 0 {
		return text[begin+at:]
	}
	return ""
}

// agree notes what scalars shall say. It refuses one that cannot be changed
// where it stands, and one that shall say something else for another image;
// merge keys make that possible.
func (r *rewriter) agree(x finding, texts map[*tree]string) error {
	for t, text := range texts {
		if before, ok := r.texts[t]; ok && before != text {
			return fmt.Errorf("image %s: its text belongs to another image too, which would differ; write it out for each", quote(x.ref.String()))
		}
		if _, err := r.src.replace(t, text); err != nil {
			return fmt.Errorf("image %s: %w", quote(x.ref.String()), err)
		}
	}
	for t, text := range texts {
		if t.kind == scalar {
			r.texts[t] = text
		}
	}
	return nil
}

// followAliases gives the aliases that say the right thing once the scalar that
// they stand for is changed, and has the others replaced.
func (r *rewriter) followAliases(plan []*planned) map[*tree]bool {
	followed := map[*tree]bool{}
	for _, x := range plan {
		for t, text := range x.texts {
			if t.kind != alias {
				continue
			}
			if r.texts[t.target] == text {
				followed[t] = true
			} else {
				r.texts[t] = text
			}
		}
	}
	return followed
}

// keepAnchors gives up changes of scalars with an anchor that something else
// than an image is an alias of.
func (r *rewriter) keepAnchors(root *tree, plan []*planned, followed map[*tree]bool) {
	walk(root, func(t *tree) {
		if t.kind != alias || followed[t] || r.texts[t] != "" || r.texts[t.target] == "" {
			return
		}
		delete(r.texts, t.target)
		for _, x := range plan {
			for each := range x.texts {
				if each.resolve() == t.target && r.texts[each] == "" {
					r.untouched(x.finding, fmt.Errorf("image %s: its anchor &%s stands for something else in line %d too; write the image out",
						quote(x.ref.String()), t.target.anchor, r.src.place(t.at).Line))
					for other := range x.texts {
						delete(r.texts, other)
					}
					x.texts = nil
					break
				}
			}
		}
	})
}

// walk visits every value of a document once, not through aliases.
func walk(t *tree, visit func(*tree)) {
	visit(t)
	for _, p := range t.pairs {
		walk(p.name, visit)
		walk(p.value, visit)
	}
	for _, item := range t.items {
		walk(item, visit)
	}
}

// finish adds pull secrets, and notes what every image of the document shall
// be.
func (r *rewriter) finish(plan []*planned) {
	noted := map[string]bool{}
	for _, x := range plan {
		ref, want := x.ref, wanted{x.ref, x.text}
		if x.texts != nil {
			ref = r.o.To.Reference(ref)
			want = wanted{ref: ref}
			r.out.Changes = append(r.out.Changes, Change{x.place, x.ref, ref})
		}
		r.wanted = append(r.wanted, want)
		if r.o.PullSecret == "" || ref.IsZero() || !r.o.To.Holds(ref) || x.fixed != nil {
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
