package rewrite

import (
	"errors"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/berth-registry/berth/images/document"
	"github.com/berth-registry/berth/images/inventory"
	"github.com/berth-registry/berth/images/place"
)

// addSecret adds the pull secret to a pod spec that lacks it.
func (r *rewriter) addSecret(pod *inventory.PodSpec) {
	if r.pods[pod.Node] {
		return
	}
	r.pods[pod.Node] = true
	have := pod.Present.Resolve()
	var e document.Edit
	ok := false
	switch {
	case have == nil:
		e, ok = r.newList(pod)
	case have.Kind == document.Sequence && r.names(have):
		return
	case have.Kind == document.Sequence:
		e, ok = r.newItem(have)
	case pod.Present.Kind == document.Scalar && !have.Str && have.Word() == "":
		e, ok = r.insteadOfNull(pod, have)
	}
	if !ok {
		r.kept = append(r.kept, &place.Problem{Place: pod.Place,
			Err: errors.New("the pull secret cannot be added to the present value; write it as a list of - name: " + r.o.PullSecret)})
		return
	}
	r.edits = append(r.edits, e)
}

// names reports whether a list of references has the secret.
func (r *rewriter) names(list *document.Tree) bool {
	return slices.ContainsFunc(list.Items, func(item *document.Tree) bool {
		m := item.Resolve()
		return m != nil && document.Get(m.Pairs, "name").Word() == r.o.PullSecret
	})
}

// newList inserts the whole field before the containers, or before the first field if there are
// none.
func (r *rewriter) newList(pod *inventory.PodSpec) (document.Edit, bool) {
	pairs := pod.Node.Pairs
	at := max(slices.IndexFunc(pairs, func(p document.Pair) bool { return p.Name.Word() == "containers" }), 0)
	if len(pairs) == 0 || pod.Node.Style == document.Flow && r.src.Text[pod.Node.At] != '{' {
		return document.Edit{}, false
	}
	before := pairs[at].Name.At
	line := r.src.LineAt(before)
	own := document.IsBlank(r.src.Text[line:before]) // first on its line
	e := document.Edit{Mutate: func() {
		pod.Node.Pairs = slices.Insert(pairs, at, document.Pair{Name: document.NewString(pod.Field), Value: &document.Tree{Kind: document.Sequence, Items: []*document.Tree{r.item()}}})
	}}
	newline := r.src.NewlineBefore(before)
	if pod.Node.Style == document.Flow {
		e.Start, e.End = before, before
		e.Text = r.key(pod.Field) + ": [" + r.flowItem() + "]," + " "
		if own && line > 0 {
			e.Text = strings.TrimSuffix(e.Text, " ") + newline + r.src.Text[line:before]
		}
		return e, true
	}
	indent := strings.Repeat(" ", utf8.RuneCountInString(r.src.Text[line:before]))
	dash := indent
	if list := pairs[at].Value; list.Kind == document.Sequence && list.Style == document.Block && r.src.LineAt(list.At) != line {
		if written := r.src.Text[r.src.LineAt(list.At):list.At]; document.IsBlank(written) {
			dash = written
		}
	}
	if own {
		before = r.src.AboveComments(line, indent) + len(indent)
	}
	e.Start, e.End = before, before
	e.Text = pod.Field + ":" + newline + dash + "- name: " + r.o.PullSecret + newline + indent
	return e, true
}

// newItem inserts the name at the beginning of a list.
func (r *rewriter) newItem(list *document.Tree) (document.Edit, bool) {
	e := document.Edit{Mutate: func() { list.Items = slices.Insert(list.Items, 0, r.item()) }}
	at := list.At
	switch {
	case list.Style == document.Block && r.src.Text[at] == '-':
		line := r.src.LineAt(at)
		e.Start, e.End = at, at
		e.Text = "- name: " + r.o.PullSecret + r.src.NewlineBefore(at) + strings.Repeat(" ", utf8.RuneCountInString(r.src.Text[line:at]))
		return e, true
	case list.Style == document.Flow && r.src.Text[at] == '[':
		e.Start, e.End = at+1, at+1
		e.Text = r.flowItem()
		if len(list.Items) > 0 {
			e.Text += ","
			if strings.IndexByte(" \t\r\n", r.src.Text[at+1]) < 0 {
				e.Text += " "
			}
		}
		return e, true
	}
	return document.Edit{}, false
}

// insteadOfNull replaces the empty value of the field by a list.
func (r *rewriter) insteadOfNull(pod *inventory.PodSpec, null *document.Tree) (document.Edit, bool) {
	e := document.Edit{Text: "[" + r.flowItem() + "]"}
	e.Mutate = func() { *null = document.Tree{Kind: document.Sequence, At: null.At, Items: []*document.Tree{r.item()}} }
	if null.Anchor != "" {
		return e, false
	}
	if null.Text != "" {
		e.Start, e.End = null.At, null.At+len(null.Text)
		return e, strings.HasPrefix(r.src.Text[null.At:], null.Text)
	}
	for _, p := range pod.Node.Pairs {
		if p.Value != null {
			continue
		}
		where, quoted, ok := r.src.Written(p.Name)
		end := where.End
		if quoted {
			end++
		}
		colon := strings.HasPrefix(r.src.Text[min(end, len(r.src.Text)):], ":")
		e.Start, e.End, e.Text = end+1, end+1, " "+e.Text
		return e, ok && colon
	}
	return e, false
}

// item is a reference to the secret.
func (r *rewriter) item() *document.Tree {
	return &document.Tree{Kind: document.Mapping, Pairs: []document.Pair{{Name: document.NewString("name"), Value: document.NewString(r.o.PullSecret)}}}
}

func (r *rewriter) flowItem() string {
	if r.json {
		return `{"name": "` + r.o.PullSecret + `"}`
	}
	return "{name: " + r.o.PullSecret + "}"
}

func (r *rewriter) key(name string) string {
	if r.json {
		return `"` + name + `"`
	}
	return name
}
