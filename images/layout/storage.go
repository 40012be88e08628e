package layout

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/berth-registry/berth/images/manifest"
	"github.com/berth-registry/berth/internal/plainfile"
)

// Storage holds the files of a layout for reading. A name is slash-separated: oci-layout,
// index.json, blobs/ALGORITHM/HEX. A file that is not there is [fs.ErrNotExist], one that is left out
// because another file has it is a [manifest.NeededError].
type Storage interface {
	// Stat returns the size of a file in bytes.
	Stat(name string) (int64, error)
	// Open opens a file and returns its size in bytes.
	Open(name string) (io.ReadCloser, int64, error)
	// Read reads a file of at most limit bytes.
	Read(name string, limit int64) ([]byte, error)
	// Fault names the file of an error, with a remedy if there is one.
	Fault(name string, err error) error
	// Damaged is a file that is missing or altered.
	Damaged(name string, err error) *manifest.DamagedError
	Close() error
}

// directory is a layout on disk.
type directory struct {
	path string
	root *os.Root // path
}

func openDirectory(dir string) (*directory, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	return &directory{path: dir, root: root}, nil
}

// Stat implements [Storage].
func (d *directory) Stat(name string) (int64, error) {
	info, err := plainfile.Stat(d.root, name)
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// Open implements [Storage].
func (d *directory) Open(name string) (io.ReadCloser, int64, error) {
	f, info, err := plainfile.Open(d.root, name, os.O_RDONLY)
	if err != nil {
		return nil, 0, err
	}
	return f, info.Size(), nil
}

// Read implements [Storage].
func (d *directory) Read(name string, limit int64) ([]byte, error) {
	return plainfile.Read(d.root, name, limit)
}

// Fault implements [Storage]. A path that leads out of the directory has a remedy.
func (d *directory) Fault(name string, err error) error {
	err = plainfile.Reason(d.root, name, err)
	remedy := ""
	switch {
	case errors.Is(err, plainfile.ErrSymlink):
		remedy = "; copy the directory with what it links to (cp -rL), or name another one"
	case errors.Is(err, plainfile.ErrNotRegular):
		remedy = "; remove it, and copy the images to oci:" + d.path + " again"
	}
	return fmt.Errorf("%s: %w%s", filepath.Join(d.path, name), err, remedy)
}

// Damaged implements [Storage].
func (d *directory) Damaged(name string, err error) *manifest.DamagedError {
	return &manifest.DamagedError{
		Of: d.path, File: filepath.Join(d.path, name), Remedy: "copy the images to oci:" + d.path + " again", Err: err,
	}
}

// Close implements [Storage].
func (d *directory) Close() error { return d.root.Close() }
