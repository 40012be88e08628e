package images

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"testing"
	"time"
)

// drip is content without an end that comes in pieces of so many bytes, each after a pause.
func drip(bytes int, pause time.Duration) readFunc {
	return func(p []byte) (int, error) {
		time.Sleep(pause)
		return min(bytes, len(p)), nil
	}
}

type readFunc func([]byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }

func (readFunc) Close() error { return nil }

func (f readFunc) open(context.Context) (io.ReadCloser, error) { return f, nil }

// files lists what is below a directory, with sizes.
func files(t testing.TB, dir string) []string {
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
