package watch

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
)

// maxLinks is the kernel's limit (ELOOP, path_resolution(7)).
const maxLinks = 40

// follow resolves a target's path as the kernel does, and watches every directory before it looks
// into it. It ends at the end of the path or at the first name that leads nowhere; the target then
// waits for that name.
func (g *graph) follow(t *target) error {
	if !filepath.IsAbs(t.path) {
		return errors.New("not an absolute path")
	}
	at, rest, floor := "/", t.path, "/"
	if inside, ok := strings.CutPrefix(t.path, strings.TrimSuffix(g.root, "/")+"/"); ok && t.tree {
		top, ok, err := g.descend(t, "/", g.root, "/")
		if !ok || err != nil {
			return err
		}
		at, rest, floor = top, inside, top
	}
	dir, ok, err := g.descend(t, at, rest, floor)
	if !ok || err != nil || !t.tree {
		return err
	}
	return g.watchTree(t, dir)
}

// descend resolves path from the directory at. Symlinks cannot lead above floor. ok: the path leads
// to a directory, dir.
func (g *graph) descend(t *target, at, path, floor string) (dir string, ok bool, err error) {
	rest := strings.Split(path, "/")
	for links := 0; len(rest) > 0; {
		name := rest[0]
		rest = rest[1:]
		switch name {
		case "", ".":
			continue
		case "..":
			if at != floor {
				at = filepath.Dir(at)
			}
			continue
		}
		n := g.node(at)
		g.use(t, n, name)
		if n.pass != g.pass {
			e := stat(at)
			if e.kind != directory {
				return "", false, e.err
			}
			g.watchAll(n, e.id)
		}
		child := join(at, name)
		if c := g.nodes[child]; c != nil && c.pass == g.pass {
			at = child
			continue
		}
		switch e := stat(child); e.kind {
		case unknown:
			return "", false, e.err
		case missing, other:
			return "", false, nil
		case directory:
			at = child
		case link:
			if links++; links > maxLinks {
				return "", false, nil // a loop of symlinks, all of them watched
			}
			to, err := os.Readlink(child)
			if err != nil {
				// It was replaced; the event is still to come.
				return "", false, nil
			}
			if filepath.IsAbs(to) {
				at = floor
			}
			rest = append(strings.Split(to, "/"), rest...)
		}
	}
	return at, true, nil
}

// watchTree makes dir the directory of the tree t, and watches it and its subdirectories.
func (g *graph) watchTree(t *target, dir string) error {
	e := stat(dir)
	if e.kind != directory {
		return e.err
	}
	t.top = g.node(dir)
	t.top.all++
	if t.top.pass != g.pass {
		g.watchAll(t.top, e.id)
	}
	entries, err := readDir(dir)
	if absent(err) {
		return nil
	}
	for _, e := range entries {
		if e.IsDir() && !g.ignore(e.Name()) {
			err = errors.Join(err, g.watchSubdirectory(t, e.Name()))
		}
	}
	return err
}

// watchSubdirectory looks at one name in the tree t, and watches it if it is a directory.
func (g *graph) watchSubdirectory(t *target, name string) error {
	path := join(t.top.path, name)
	e := stat(path)
	if e.kind == directory {
		n := t.subs[name]
		if n == nil {
			n = g.node(path)
			n.all++
			if t.subs == nil {
				t.subs = map[string]*node{}
			}
			t.subs[name] = n
		}
		if n.watch == nil || n.pass != g.pass {
			g.watchAll(n, e.id)
		}
		return nil
	}
	if n := t.subs[name]; n != nil {
		delete(t.subs, name)
		n.all--
		g.sweep(n)
	}
	return e.err
}

// readDir is os.ReadDir without the sorting.
func readDir(path string) ([]os.DirEntry, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.ReadDir(-1)
}

func join(dir, name string) string {
	if dir == "/" {
		return "/" + name
	}
	return dir + "/" + name
}

// below reports whether path is dir or something in it, at any depth.
func below(path, dir string) bool {
	rest, ok := strings.CutPrefix(path, strings.TrimSuffix(dir, "/"))
	return ok && (rest == "" || rest[0] == '/' || dir == "/")
}
