package images

import (
	"errors"
	"slices"
	"strings"
	"unicode/utf8"
)

// addSecret plans the insertion of the pull secret into a pod spec that lacks
// it.
func (r *rewriter) addSecret(pod *podSpec) {
	if r.pods[pod.node] {
		return
	}
	r.pods[pod.node] = true
	have := pod.present.resolve()
	var e edit
	ok := false
	switch {
	case have == nil:
		e, ok = r.newList(pod)
	case have.kind == sequence && r.names(have):
		return
	case have.kind == sequence:
		e, ok = r.newItem(have)
	case pod.present.kind == scalar && !have.str && have.word() == "":
		e, ok = r.insteadOfNull(pod, have)
	}
	if !ok {
		r.kept = append(r.kept, &Problem{Place: pod.place,
			Err: errors.New("the pull secret cannot be added to what is there; write it as a list of - name: " + r.o.PullSecret)})
		return
	}
	r.edits = append(r.edits, e)
}

// names reports whether a list of references has the secret.
func (r *rewriter) names(list *tree) bool {
	return slices.ContainsFunc(list.items, func(item *tree) bool {
		m := item.resolve()
		return m != nil && get(m.pairs, "name").word() == r.o.PullSecret
	})
}

// newList inserts the whole field before the containers, or before the first
// field where these are not written.
func (r *rewriter) newList(pod *podSpec) (edit, bool) {
	pairs := pod.node.pairs
	at := max(slices.IndexFunc(pairs, func(p pair) bool { return p.name.word() == "containers" }), 0)
	if len(pairs) == 0 || pod.node.style == flow && r.src.text[pod.node.at] != '{' {
		return edit{}, false
	}
	before := pairs[at].name.at
	line := r.src.lineAt(before)
	own := isBlank(r.src.text[line:before]) // nothing else before it on its line
	e := edit{mutate: func() {
		pod.node.pairs = slices.Insert(pairs, at, pair{word(pod.field), &tree{kind: sequence, items: []*tree{r.item()}}})
	}}
	newline := r.src.newlineBefore(before)
	if pod.node.style == flow {
		e.start, e.end = before, before
		e.text = r.key(pod.field) + ": [" + r.flowItem() + "]," + " "
		if own && line > 0 {
			e.text = strings.TrimSuffix(e.text, " ") + newline + r.src.text[line:before]
		}
		return e, true
	}
	indent := strings.Repeat(" ", utf8.RuneCountInString(r.src.text[line:before]))
	dash := indent
	if list := pairs[at].value; list.kind == sequence && list.style == block && r.src.lineAt(list.at) != line {
		if written := r.src.text[r.src.lineAt(list.at):list.at]; isBlank(written) {
			dash = written
		}
	}
	if own {
		before = r.src.aboveComments(line, indent) + len(indent)
	}
	e.start, e.end = before, before
	e.text = pod.field + ":" + newline + dash + "- name: " + r.o.PullSecret + newline + indent
	return e, true
}

// newItem inserts a name at the beginning of a list.
func (r *rewriter) newItem(list *tree) (edit, bool) {
	e := edit{mutate: func() { list.items = slices.Insert(list.items, 0, r.item()) }}
	at := list.at
	switch {
	case list.style == block && r.src.text[at] == '-':
		line := r.src.lineAt(at)
		e.start, e.end = at, at
		e.text = "- name: " + r.o.PullSecret + r.src.newlineBefore(at) + strings.Repeat(" ", utf8.RuneCountInString(r.src.text[line:at]))
		return e, true
	case list.style == flow && r.src.text[at] == '[':
		e.start, e.end = at+1, at+1
		e.text = r.flowItem()
		if len(list.items) > 0 {
			e.text += ","
			if strings.IndexByte(" \t\r\n", r.src.text[at+1]) < 0 {
				e.text += " "
			}
		}
		return e, true
	}
	return edit{}, false
}

// insteadOfNull gives a field that is there and empty its list.
func (r *rewriter) insteadOfNull(pod *podSpec, null *tree) (edit, bool) {
	e := edit{text: "[" + r.flowItem() + "]"}
	e.mutate = func() { *null = tree{kind: sequence, at: null.at, items: []*tree{r.item()}} }
	if null.anchor != "" {
		return e, false
	}
	if null.text != "" {
		e.start, e.end = null.at, null.at+len(null.text)
		return e, strings.HasPrefix(r.src.text[null.at:], null.text)
	}
	for _, p := range pod.node.pairs {
		if p.value != null {
			continue
		}
		where, quoted, ok := r.src.written(p.name)
		end := where.end
		if quoted {
			end++
		}
		colon := strings.HasPrefix(r.src.text[min(end, len(r.src.text)):], ":")
		e.start, e.end, e.text = end+1, end+1, " "+e.text
		return e, ok && colon
	}
	return e, false
}

// item is a reference to the secret.
func (r *rewriter) item() *tree {
	return &tree{kind: mapping, pairs: []pair{{word("name"), word(r.o.PullSecret)}}}
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
