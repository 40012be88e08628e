package watch

import (
	"maps"
	"slices"
)

// graph is what is watched with one notifier, and why: targets use nodes, and
// nodes share watches.
//
// Its one rule: a directory is watched before anything in it is looked at. So
// whatever differs from what was seen makes an event that is still to come,
// and that event makes us look again.
type graph struct {
	dirs    Dirs
	root    string
	ignore  func(string) bool
	targets map[targetKey]*target
	nodes   map[string]*node
	watches map[ident]*watch

	pass        uint64             // one for each change of the graph; see node.pass
	fresh       bool               // the caller must look: something is watched that was not
	dropPending map[*node]struct{} // lost their watch in this pass
}

// ident tells directories apart, whatever their paths.
type ident struct{ dev, ino uint64 }

// watch is one inotify watch. The kernel keeps one a directory, so that two
// paths of it (a bind mount) share the watch and get the events of the path
// that was first.
type watch struct {
	id    ident
	path  string // as the notifier knows it, of one of the nodes
	nodes []*node
}

// node is a directory under its real path: no part of it is a link. The root
// and each directory on the way to a node are nodes too.
type node struct {
	path  string
	names map[string]int // entries of interest, and how many targets they serve
	all   int            // how many targets are interested in every entry
	watch *watch         // nil: it could not be watched, or is gone
	err   error          // why it could not be watched
	pass  uint64         // it was seen to be a directory, and watched, in this pass
}

type targetKey struct {
	path string
	tree bool
}

// target is something that the caller named.
type target struct {
	targetKey
	uses
	err error // why it could not be followed to its end
}

// uses is what a target leads through.
type uses struct {
	steps []step           // in order, from the root on
	top   *node            // a tree's directory; nil when there is none
	subs  map[string]*node // a tree's subdirectories, by name
}

// step is a name looked up in a directory.
type step struct {
	dir  *node
	name string
}

func newGraph(n *Notifier, o Options) *graph {
	ignore := o.Ignore
	if ignore == nil {
		ignore = func(string) bool { return false }
	}
	return &graph{
		dirs:        n.Dirs,
		root:        o.Root,
		ignore:      ignore,
		targets:     map[targetKey]*target{},
		nodes:       map[string]*node{},
		watches:     map[ident]*watch{},
		dropPending: map[*node]struct{}{},
	}
}

// takeFresh says whether something came in since it was last called.
func (g *graph) takeFresh() bool {
	fresh := g.fresh
	g.fresh = false
	return fresh
}

// set makes files and trees the targets.
func (g *graph) set(files, trees []string) {
	g.pass++
	wanted := make(map[targetKey]struct{}, len(files)+len(trees))
	want := func(k targetKey) {
		wanted[k] = struct{}{}
		if g.targets[k] == nil {
			t := &target{targetKey: k}
			g.targets[k] = t
			g.walk(t)
		}
	}
	for _, f := range files {
		want(targetKey{path: f})
	}
	for _, t := range trees {
		want(targetKey{path: t, tree: true})
	}
	for k, t := range g.targets {
		if _, ok := wanted[k]; !ok {
			delete(g.targets, k)
			g.release(t.uses)
		}
	}
	g.addWatches()
}

// audit walks everything again. It finds what no event told: a file system
// mounted over a directory or taken away, and what can be watched by now.
func (g *graph) audit() {
	g.pass++
	alive := make(map[string]struct{}, len(g.watches))
	for _, dir := range g.dirs.WatchList() {
		alive[dir] = struct{}{}
	}
	for _, w := range g.watches {
		if _, ok := alive[w.path]; !ok {
			g.drop(w)
		}
	}
	for _, t := range g.targets {
		g.walk(t)
	}
	g.addWatches()
}

// walk follows a target from the root on and replaces what it uses.
func (g *graph) walk(t *target) {
	before := t.uses
	t.uses = uses{}
	t.err = g.follow(t)
	// Also when all of the directories were watched before: their events for a
	// name that is new were dropped.
	if !slices.Equal(before.steps, t.steps) || before.top != t.top || !maps.Equal(before.subs, t.subs) {
		g.fresh = true
	}
	// Last, so that what is still used keeps its watch.
	g.release(before)
}

func (g *graph) node(path string) *node {
	n := g.nodes[path]
	if n == nil {
		n = &node{path: path}
		g.nodes[path] = n
	}
	return n
}

// use notes that t depends on a name in a directory.
func (g *graph) use(t *target, dir *node, name string) {
	if dir.names == nil {
		dir.names = map[string]int{}
	}
	dir.names[name]++
	t.steps = append(t.steps, step{dir, name})
}

func (g *graph) release(u uses) {
	for _, s := range u.steps {
		if s.dir.names[s.name]--; s.dir.names[s.name] == 0 {
			delete(s.dir.names, s.name)
			g.sweep(s.dir)
		}
	}
	if u.top != nil {
		u.top.all--
		g.sweep(u.top)
	}
	for _, n := range u.subs {
		n.all--
		g.sweep(n)
	}
}

// sweep ends the watch of a node that nothing uses.
func (g *graph) sweep(n *node) {
	if len(n.names) == 0 && n.all == 0 {
		g.unwatch(n)
		delete(g.nodes, n.path)
		delete(g.dropPending, n)
	}
}
