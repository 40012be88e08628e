package watch

import (
	"errors"
	"io/fs"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
)

// watchAll makes sure that n is watched, which was just seen to be the directory id.
//
// Between that look and the watch the path may begin to mean another directory. The event of that
// change is still to come, because the directory above is already watched, and [graph.forget] then
// makes us do this again.
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
		n.err = nil // gone again: the directory above reports when it returns
	default:
		n.err = err
	}
}

// unwatch removes n from its watch.
func (g *graph) unwatch(n *node) {
	w := n.watch
	if w == nil {
		return
	}
	if w.path == n.path {
		g.endWatch(w)
		return
	}
	w.nodes = slices.DeleteFunc(w.nodes, func(o *node) bool { return o == n })
	g.loseWatch(n)
}

// endWatch ends a watch.
func (g *graph) endWatch(w *watch) {
	// An error means that the directory was removed or moved, which ended the watch.
	_ = g.dirs.Remove(w.path)
	delete(g.watches, w.id)
	for _, n := range w.nodes {
		g.loseWatch(n)
	}
}

func (g *graph) loseWatch(n *node) {
	n.watch = nil
	n.pass = 0
	g.dropPending[n] = struct{}{}
}

// forget ends the watches of a path and of everything below it: the path leads elsewhere now, or
// did for a moment. The same inode number as before proves nothing, because numbers are reused.
func (g *graph) forget(path string) {
	if g.nodes[path] == nil {
		return // then no path below it is a node
	}
	for p, n := range g.nodes {
		if n.watch != nil && below(p, path) {
			g.unwatch(n)
			delete(g.dropPending, n) // its targets are walked anyway
		}
	}
}

// addWatches ends a pass. A directory may have changed unnoticed while it had no watch, so the
// targets that lead through it are walked again, which watches it first. Usually a walk has done
// that already; the rest are further paths of a directory whose watch ended with another of its
// paths.
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

// absent reports that a path leads nowhere. Here that is not an error.
func absent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}

// pathEntry is the kind of file at a path; symlinks are not followed.
type pathEntry struct {
	kind kind
	id   ident
	err  error // if kind is unknown
}

type kind int

const (
	unknown kind = iota
	missing
	directory
	link
	other
)

func stat(path string) pathEntry {
	var st unix.Stat_t
	for {
		switch err := unix.Lstat(path, &st); {
		case err == unix.EINTR:
			continue
		case absent(err):
			return pathEntry{kind: missing}
		case err != nil:
			return pathEntry{err: &fs.PathError{Op: "lstat", Path: path, Err: err}}
		}
		break
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return pathEntry{kind: directory, id: ident{uint64(st.Dev), st.Ino}}
	case unix.S_IFLNK:
		return pathEntry{kind: link}
	}
	return pathEntry{kind: other}
}
