package watch

import (
	"maps"
	"slices"
)

// graph holds what one notifier watches, and why: targets use nodes, and nodes share watches.
//
// Its one rule: a directory is watched before anything in it is looked at. Any later change of what
// was seen makes an event, and the event causes another look.
type graph struct {
	dirs    Dirs
	root    string
	ignore  func(string) bool
	targets map[targetKey]*target
	nodes   map[string]*node
	watches map[ident]*watch

	pass        uint64             // number of the current change of the graph; see node.pass
	fresh       bool               // the caller must look: something new is watched
	dropPending map[*node]struct{} // lost their watch in this pass
}

// ident identifies a directory under any of its paths.
type ident struct{ dev, ino uint64 }

// watch is one inotify watch. The kernel has one per directory, so two paths of a directory (a bind
// mount) share the watch, and its events have the path that was added first.
type watch struct {
	id    ident
	path  string // as the notifier knows it; the path of one of the nodes
	nodes []*node
}

// node is a directory by its real path: no part of it is a symlink. The root and each directory
// above a node are nodes too.
type node struct {
	path  string
	names map[string]int // entries that targets lead through, and by how many targets
	all   int            // how many targets use every entry
	watch *watch         // nil: it could not be watched, or it ended
	err   error          // why it could not be watched
	pass  uint64         // the pass that last saw it as a directory and watched it
}

type targetKey struct {
	path string
	tree bool
}

// target is a file or tree that the caller named.
type target struct {
	targetKey
	uses
	err error // why it could not be followed to its end
}

// uses is everything that a target leads through.
type uses struct {
	steps []step           // in order, from the root
	top   *node            // a tree's directory; nil if it does not exist
	subs  map[string]*node // a tree's subdirectories, by name
}

// step is a name that was looked up in a directory.
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

// takeFresh reports whether something new was watched since its last call.
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

// audit walks all targets again. It finds changes without events: a file system mounted over a
// directory or unmounted, and directories that can be watched now.
func (g *graph) audit() {
	g.pass++
	alive := make(map[string]struct{}, len(g.watches))
	for _, dir := range g.dirs.WatchList() {
		alive[dir] = struct{}{}
	}
	for _, w := range g.watches {
		if _, ok := alive[w.path]; !ok {
			g.endWatch(w)
		}
	}
	for _, t := range g.targets {
		g.walk(t)
	}
	g.addWatches()
}

// walk follows a target from the root and replaces its uses.
func (g *graph) walk(t *target) {
	before := t.uses
	t.uses = uses{}
	t.err = g.follow(t)
	// Also if all these directories were watched before: events for a new name were dropped.
	if !slices.Equal(before.steps, t.steps) || before.top != t.top || !maps.Equal(before.subs, t.subs) {
		g.fresh = true
	}
	// Last, so that nodes still in use keep their watches.
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

// use records that t leads through a name in a directory.
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

// sweep removes a node that nothing uses, with its watch.
func (g *graph) sweep(n *node) {
	if len(n.names) == 0 && n.all == 0 {
		g.unwatch(n)
		delete(g.nodes, n.path)
		delete(g.dropPending, n)
	}
}
