package watch

import (
	"slices"
	"strings"

	"github.com/fsnotify/fsnotify"
)

// structural operations may change where a path leads.
const structural = fsnotify.Create | fsnotify.Remove | fsnotify.Rename

// changes is the meaning of a batch of events.
type changes struct {
	relevant bool              // something of a target has changed
	names    map[step]struct{} // a target may lead elsewhere from here
	entries  map[step]struct{} // a tree may have gained or lost a directory
}

// handle updates the graph after events, and reports whether one of them concerns a target. Late
// events about directories that are no longer watched do no harm: they cause a look, and the look
// decides.
func (g *graph) handle(events []fsnotify.Event) bool {
	if len(events) == 0 {
		return false
	}
	g.pass++
	w := changes{names: map[step]struct{}{}, entries: map[step]struct{}{}}
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
			if err := g.watchSubdirectory(t, s.name); err != nil {
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

// onEvent handles one event. Its name is an entry of a watched directory or the directory itself.
// The two need not be told apart: the directory is an entry of the one above, which is a node too.
//
// The event has the path that the notifier knows, but holds for all paths of the directory.
func (g *graph) onEvent(e fsnotify.Event, w *changes) {
	dir, name := split(e.Name)
	for _, n := range g.nodesAt(dir) {
		g.onEventIn(n, name, e.Op, w)
	}
}

// nodesAt returns the nodes of a directory, given the path in an event. The result is a copy,
// because onEventIn ends watches.
func (g *graph) nodesAt(path string) []*node {
	n := g.nodes[path]
	switch {
	case n == nil:
		return nil
	case n.watch == nil, n.watch.path != path:
		return []*node{n}
	}
	return slices.Clone(n.watch.nodes)
}

// onEventIn handles a change of a name in a directory.
func (g *graph) onEventIn(dir *node, name string, op fsnotify.Op, w *changes) {
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

// split splits the path of an event. That of an entry of the root begins with two slashes.
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
