package imagestest

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"testing"
	"time"
)

// Drip is endless content in pieces of so many bytes, each after a pause.
func Drip(bytes int, pause time.Duration) ReadFunc {
	return func(p []byte) (int, error) {
		time.Sleep(pause)
		return min(bytes, len(p)), nil
	}
}

// ReadFunc is a source that reads by calling a function.
type ReadFunc func([]byte) (int, error)

func (f ReadFunc) Read(p []byte) (int, error) { return f(p) }

// Close implements io.Closer.
func (ReadFunc) Close() error { return nil }

// Open returns f itself.
func (f ReadFunc) Open(context.Context) (io.ReadCloser, error) { return f, nil }

// Files lists the files below a directory, with size and time.
func Files(t testing.TB, dir string) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		rel, _ := filepath.Rel(dir, path)
		all = append(all, fmt.Sprintf("%s %d %v", rel, info.Size(), info.ModTime().UnixNano()))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
