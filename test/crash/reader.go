package main

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

// reader reads the files in a loop, as containerd does.
type reader struct {
	dir  string
	stop chan struct{}
	done sync.WaitGroup

	reads, torn int
	examples    []string
}

func startReader(dir string) *reader {
	r := &reader{dir: dir, stop: make(chan struct{})}
	r.done.Go(func() {
		for {
			for _, dir := range hostDirs() {
				select {
				case <-r.stop:
					return
				default:
					r.look(dir)
				}
			}
		}
	})
	return r
}

// end stops the reader; its counts may be read afterwards.
func (r *reader) end() {
	close(r.stop)
	r.done.Wait()
}

// look reads the files of one directory through one handle on it.
func (r *reader) look(dir string) {
	at := filepath.Join(r.dir, dir)
	root, err := os.OpenRoot(at)
	if err != nil {
		return // the directory is missing
	}
	defer root.Close()
	before, err := root.Stat(".")
	if err != nil {
		return
	}
	for _, name := range []string{"hosts.toml", "ca.pem"} {
		content, err := readAll(root, name)
		switch {
		case err == nil:
			r.reads++
			if !whole(dir+"/"+name, content) {
				r.report(dir+"/"+name, "torn")
			}
		case name == "hosts.toml" && errors.Is(err, fs.ErrNotExist):
			// The directory had no file. That is a fault only if it still has its name: it might
			// have been about to be removed.
			if now, err := os.Stat(at); err == nil && os.SameFile(before, now) {
				r.reads++
				r.report(dir, "without hosts.toml")
			}
		}
	}
}

func readAll(root *os.Root, name string) ([]byte, error) {
	f, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}

func (r *reader) report(p, what string) {
	r.torn++
	if len(r.examples) < 5 {
		r.examples = append(r.examples, p+": "+what)
	}
}
