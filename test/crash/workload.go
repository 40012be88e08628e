package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/berth-registry/berth/internal/managedfile"
	"github.com/berth-registry/berth/internal/managedfile/record"
	"github.com/berth-registry/berth/internal/nodefs"
)

const (
	berthWriter   = "berth"
	inPlaceWriter = "in-place"

	certs = "/etc/containerd/certs.d"
)

var scope = managedfile.Scope{Name: "certs.d", Dir: certs}

// hostDirs are the directories that are created and removed: with two files each, about fifty
// files.
func hostDirs() []string {
	var dirs []string
	for i := range 25 {
		dirs = append(dirs, fmt.Sprintf("%s/host%02d.example", certs, i))
	}
	return dirs
}

// wanted returns the next random state. Every directory has its hosts.toml, most have a CA too.
func wanted(rnd *rand.Rand) []managedfile.File {
	var files []managedfile.File
	for _, dir := range hostDirs() {
		if rnd.Intn(4) == 0 {
			continue
		}
		h := file(rnd, dir+"/hosts.toml")
		if rnd.Intn(3) > 0 {
			ca := file(rnd, dir+"/ca.pem")
			h.Needs = []string{ca.Path}
			files = append(files, ca)
		}
		files = append(files, h)
	}
	return files
}

// file returns a random content that names its path.
func file(rnd *rand.Rand, p string) managedfile.File {
	body := p + "\n"
	if rnd.Intn(2) > 0 { // otherwise often the same as before
		body += strings.Repeat(fmt.Sprintf("# %x\n", rnd.Int63()), rnd.Intn(400))
	}
	return managedfile.File{Path: p, Body: []byte(body), Mode: 0o600, Comment: "#"}
}

// whole reports whether content is a complete file of p.
func whole(p string, content []byte) bool {
	return record.Intact(content) && strings.Contains(string(content), p+"\n")
}

// writer brings a node to the wanted state.
type writer interface {
	apply(files []managedfile.File) error
	close() error
}

func openWriter(name, dir string, step func(nodefs.Step) error) (writer, error) {
	if name == inPlaceWriter {
		return inPlace{dir: dir, step: step}, nil
	}
	root, err := nodefs.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	var opts []managedfile.Option
	if step != nil {
		opts = append(opts, managedfile.WithSteps(step))
	}
	store, err := managedfile.Open(root, record.DefaultStateDir, opts...)
	return &berth{root: root, store: store}, err
}

type berth struct {
	root  *nodefs.Root
	store *managedfile.Store
}

func (b *berth) close() error { return b.root.Close() }

func (b *berth) apply(files []managedfile.File) error {
	snap, err := b.store.Observe(scope, files)
	if err != nil {
		return err
	}
	report, err := b.store.Apply(context.Background(), scope, managedfile.Plan(files, snap))
	if err != nil {
		return err
	}
	if n := len(report.Skipped) + len(report.Conflicts); n > 0 {
		return fmt.Errorf("%d files skipped or in conflict: %v %v", n, names(report.Skipped), names(report.Conflicts))
	}
	return nil
}

func names(changes []managedfile.Change) []string {
	var s []string
	for _, c := range changes {
		s = append(s, c.Path+": "+c.Reason)
	}
	return s
}

// inPlace is the control: it writes as a shell script would.
type inPlace struct {
	dir  string
	step func(nodefs.Step) error
}

func (w inPlace) close() error { return nil }

func (w inPlace) apply(files []managedfile.File) error {
	want := map[string]bool{}
	for _, f := range files {
		want[f.Path] = true
		if err := os.MkdirAll(filepath.Join(w.dir, path.Dir(f.Path)), 0o755); err != nil {
			return err
		}
		if err := w.write(f); err != nil {
			return err
		}
	}
	for _, dir := range hostDirs() {
		for _, p := range []string{dir + "/hosts.toml", dir + "/ca.pem"} {
			if want[p] {
				continue
			}
			if err := os.Remove(filepath.Join(w.dir, p)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
		if !want[dir+"/hosts.toml"] {
			if err := os.Remove(filepath.Join(w.dir, dir)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	return nil
}

func (w inPlace) write(f managedfile.File) error {
	out, err := os.Create(filepath.Join(w.dir, f.Path))
	if err != nil {
		return err
	}
	defer out.Close()
	if w.step != nil {
		if err := w.step(nodefs.Step{Op: "write", Path: f.Path}); err != nil {
			return err
		}
	}
	_, err = out.Write(f.Content())
	return err
}
