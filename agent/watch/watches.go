package watch

import (
	"errors"
	"io/fs"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
)

// watchAll sees to it that n, which was just seen to be the directory id, is
// watched.
//
// Between that look and the watch the path may come to mean another directory.
// Then the event of that is still to come, because the directory above is
// watched already, and [graph.forget] makes us do it again.
func (g *graph) watchAll(n *node, id ident) {
	if n.watch != nil && n.watch.id != id {
		g.unwatch(n)
		delete(g.dropPending, n) // it was not read in this pass
	}
	n.pass = g.pass
	if n.watch != nil {
		return
	}
	if w := g.watches[id]; w != nil {
		w.nodes = append(w.nodes, n)
		n.watch, n.err = w, nil
		g.fresh = true
		return
	}
	switch err := g.dirs.Add(n.path); {
	case err == nil:
		w := &watch{id: id, path: n.path, nodes: []*node{n}}
		g.watches[id] = w
		n.watch, n.err = w, nil
		g.fresh = true
	case absent(err):
		n.err = nil // gone again: the directory above tells when it comes
	default:
		n.err = err
	}
}

// unwatch takes n out of its watch.
func (g *graph) unwatch(n *node) {
	w := n.watch
	if w == nil {
		return
	}
	if w.path == n.path {
		g.drop(w)
		return
	}
	w.nodes = slices.DeleteFunc(w.nodes, func(o *node) bool { return o == n })
	g.dropWatches(n)
}

// drop ends a watch.
func (g *graph) drop(w *watch) {
	// It fails when the directory was removed or moved, which ends a watch.
	_ = g.dirs.Remove(w.path)
	delete(g.watches, w.id)
	for _, n := range w.nodes {
		g.dropWatches(n)
	}
}

func (g *graph) dropWatches(n *node) {
	n.watch = nil
	n.pass = 0
	g.dropPending[n] = struct{}{}
}

// forget ends the watches of a path and of all below it: the path leads
// somewhere else now, or did in between. That it may have the same inode
// number as before proves nothing, numbers are used again.
func (g *graph) forget(path string) {
	if g.nodes[path] == nil {
		return // then nothing below it is a node
	}
	for p, n := range g.nodes {
		if n.watch != nil && below(p, path) {
			g.unwatch(n)
			delete(g.dropPending, n) // who leads through it has to be walked anyway
		}
	}
}

// addWatches ends a pass. While a directory had no watch it may have changed
// unheard, so the targets that lead through it are walked again, which watches
// it first. Usually that has happened already; what is left are further paths
// of a directory whose watch went with another of its paths.
func (g *graph) addWatches() {
	for len(g.dropPending) > 0 {
		loose := g.dropPending
		g.dropPending = map[*node]struct{}{}
		for _, t := range g.targets {
			if t.usesAny(loose) {
				g.walk(t)
			}
		}
	}
}

func (u uses) usesAny(nodes map[*node]struct{}) bool {
	has := func(n *node) bool {
		_, ok := nodes[n]
		return ok
	}
	for _, s := range u.steps {
		if has(s.dir) {
			return true
		}
	}
	if u.top != nil && has(u.top) {
		return true
	}
	for _, n := range u.subs {
		if has(n) {
			return true
		}
	}
	return false
}

// absent says that a path leads nowhere. That is not an error here.
func absent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}

// entry is what a name leads to, links not followed.
type entry struct {
	kind kind
	id   ident
	err  error // of kind unknown
}

type kind int

const (
	unknown kind = iota
	nothing
	directory
	link
	other
)

func look(path string) entry {
	var st unix.Stat_t
	for {
		switch err := unix.Lstat(path, &st); {
		case err == unix.EINTR:
			continue
		case absent(err):
			return entry{kind: nothing}
		case err != nil:
			return entry{err: &fs.PathError{Op: "lstat", Path: path, Err: err}}
		}
		break
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return entry{kind: directory, id: ident{uint64(st.Dev), st.Ino}}
	case unix.S_IFLNK:
		return entry{kind: link}
	}
	return entry{kind: other}
}
