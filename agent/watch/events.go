package watch

import (
	"slices"
	"strings"

	"github.com/fsnotify/fsnotify"
)

// structural operations may change where a path leads.
const structural = fsnotify.Create | fsnotify.Remove | fsnotify.Rename

// news is what a batch of events means.
type news struct {
	relevant bool              // something of a target has changed
	names    map[step]struct{} // a target may lead elsewhere from here
	entries  map[step]struct{} // a tree may have gained or lost a directory
}

// handle brings the graph up to date after events, and says whether one of
// them is of interest. Events that are late, about what is watched no more, do
// no harm: they make us look, and what we see counts.
func (g *graph) handle(events []fsnotify.Event) bool {
	if len(events) == 0 {
		return false
	}
	g.pass++
	w := news{names: map[step]struct{}{}, entries: map[step]struct{}{}}
	for _, e := range events {
		g.onEvent(e, &w)
	}
	if len(w.names) > 0 {
		for _, t := range g.targets {
			if t.leadsThrough(w.names) {
				g.walk(t)
			}
		}
	}
	for _, t := range g.targets {
		if t.top == nil {
			continue
		}
		for s := range w.entries {
			if s.dir != t.top {
				continue
			}
			if err := g.sub(t, s.name); err != nil {
				t.err = err
			}
		}
	}
	g.addWatches()
	return w.relevant
}

func (t *target) leadsThrough(names map[step]struct{}) bool {
	for _, s := range t.steps {
		if _, ok := names[s]; ok {
			return true
		}
	}
	return false
}

// onEvent takes in one event. Its name is that of an entry in a watched directory
// or that of the directory itself; which of the two is not told, and need not
// be: the directory is an entry of the one above, which is a node too.
//
// The event has the path that the notifier knows; it holds for all paths of
// the directory.
func (g *graph) onEvent(e fsnotify.Event, w *news) {
	dir, name := split(e.Name)
	for _, n := range g.known(dir) {
		g.onEventIn(n, name, e.Op, w)
	}
}

// known gives the nodes of a directory, by the path in an event. It is a copy,
// because onEventIn ends watches.
func (g *graph) known(path string) []*node {
	n := g.nodes[path]
	switch {
	case n == nil:
		return nil
	case n.watch == nil, n.watch.path != path:
		return []*node{n}
	}
	return slices.Clone(n.watch.nodes)
}

// onEventIn takes in that something happened to a name in a directory.
func (g *graph) onEventIn(dir *node, name string, op fsnotify.Op, w *news) {
	moved := op.Has(structural)
	s := step{dir, name}
	if dir.names[name] > 0 {
		w.relevant = true
		if moved {
			w.names[s] = struct{}{}
		}
	}
	if dir.all > 0 && !g.ignore(name) {
		w.relevant = true
		if moved {
			w.entries[s] = struct{}{}
		}
	}
	if moved {
		g.forget(join(dir.path, name))
	}
}

// split parts a path as an event has it; that of an entry of the root begins
// with two slashes.
func split(path string) (dir, name string) {
	i := strings.LastIndexByte(path, '/')
	if i < 0 {
		return "", path
	}
	if dir = strings.TrimRight(path[:i], "/"); dir == "" {
		dir = "/"
	}
	return dir, path[i+1:]
}
