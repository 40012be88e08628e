// Package layout reads images in the OCI image layout, and writes directories in it.
//
// It promises that a reader never finds a partial file, and that nothing outside of the directory
// is read or written. Start reading at [Open] and [Create]; [New] reads a layout that is no directory.
package layout

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/berth-registry/berth/images/manifest"
	"github.com/berth-registry/berth/images/reference"
)

// Layout is a set of files in the OCI image layout, with one index.json that lists each image under
// its complete reference.
// https://github.com/opencontainers/image-spec/blob/main/image-layout.md
//
// Blobs and the index appear by a rename after they were synced: a reader finds each of them
// complete or not at all, at any moment and after a crash.
//
// Only regular files below the directory are read and written: the directory may come from
// elsewhere, on a disk or in an archive.
type Layout struct {
	files Storage
	dir   *directory // files; nil if these are in no directory
	lock  *os.File   // held while writing; nil for reading

	mu      sync.Mutex
	index   v1.IndexManifest
	byName  map[string]v1.Descriptor
	unnamed []error            // entries of the index without an image name, or with a name twice
	named   map[string]bool    // names that this run has given
	partial map[v1.Hash]string // value of AnnotationPlatforms by index
	changed bool
	written time.Time // time of the last write of the index

	verified map[v1.Hash]func() error // computes the digest of a blob, once
	altered  map[v1.Hash]bool         // blobs that verify has found altered
}

// annotationName is the image name of an entry in index.json.
const annotationName = "org.opencontainers.image.ref.name"

// annotationContainerd has the image name in the layouts of containerd and BuildKit, where
// annotationName is only the tag.
const annotationContainerd = "io.containerd.image.name"

// The files of a layout. MarkerFile holds MarkerText, and IndexFile names the images.
const (
	MarkerFile = "oci-layout"
	IndexFile  = "index.json"
	blobsDir   = "blobs"
	MarkerText = `{"imageLayoutVersion":"1.0.0"}`
)

// maxMarker limits the file that marks the directory as a layout, in bytes.
const maxMarker = 64 << 10

// Open opens the layout in dir for reading. Call Close at the end.
func Open(dir string) (*Layout, error) {
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%s: is no OCI layout: it has no file %s", dir, MarkerFile)
	case err != nil:
		return nil, err
	case !info.IsDir():
		return nil, fmt.Errorf("%s: is no directory; name the directory of an OCI layout", dir)
	}
	files, err := openDirectory(dir)
	if err != nil {
		return nil, err
	}
	return New(files)
}

// New reads the layout in files, which Close closes. On an error they are closed.
func New(files Storage) (*Layout, error) {
	l := newLayout(files)
	err := l.check()
	if err == nil {
		err = l.readIndex()
	}
	if err != nil {
		return nil, errors.Join(err, files.Close())
	}
	return l, nil
}

// newLayout reads nothing.
func newLayout(files Storage) *Layout {
	dir, _ := files.(*directory)
	return &Layout{
		files: files, dir: dir, index: newIndex(), byName: map[string]v1.Descriptor{}, named: map[string]bool{},
		partial: map[v1.Hash]string{}, verified: map[v1.Hash]func() error{}, altered: map[v1.Hash]bool{},
	}
}

// check reads the marker file.
func (l *Layout) check() error {
	raw, err := l.files.Read(MarkerFile, maxMarker)
	if errors.Is(err, fs.ErrNotExist) && l.dir != nil {
		return fmt.Errorf("%s: is no OCI layout: it has no file %s", l.dir.path, MarkerFile)
	}
	if err != nil {
		return l.files.Fault(MarkerFile, err)
	}
	var version struct {
		ImageLayoutVersion string `json:"imageLayoutVersion"`
	}
	if err := json.Unmarshal(raw, &version); err != nil || !strings.HasPrefix(version.ImageLayoutVersion, "1.") {
		return l.files.Fault(MarkerFile, errors.New("has an unknown version of the OCI layout"))
	}
	return nil
}

// readIndex reads index.json.
func (l *Layout) readIndex() error {
	raw, err := l.files.Read(IndexFile, manifest.MaxSize)
	if err != nil {
		return l.files.Fault(IndexFile, err)
	}
	if err := json.Unmarshal(raw, &l.index); err != nil {
		return l.files.Fault(IndexFile, errors.New(manifest.OneLine(err.Error())))
	}
	named := map[v1.Hash]bool{}
	for i, d := range l.index.Manifests {
		name := nameOf(d)
		if name == "" {
			continue
		}
		named[d.Digest] = true
		if list, ok := d.Annotations[manifest.AnnotationPlatforms]; ok {
			l.partial[d.Digest] = list
		}
		if other, ok := l.byName[name]; ok && other.Digest != d.Digest {
			l.unnamed = append(l.unnamed, l.entry(i, fmt.Errorf("%s is listed twice, as %s and as %s; remove one of them",
				name, manifest.Short(other.Digest), manifest.Short(d.Digest))))
		}
		l.byName[name] = d
	}
	for i, d := range l.index.Manifests {
		if nameOf(d) == "" && !named[d.Digest] {
			l.unnamed = append(l.unnamed, l.entry(i, unnamedError(d)))
		}
	}
	return nil
}

func (l *Layout) entry(i int, err error) error {
	return l.files.Fault(IndexFile, fmt.Errorf("manifests[%d]: %w", i, err))
}

// nameOf is the complete reference of an entry of index.json, "" if it has none: a tag alone does
// not say which image it is.
func nameOf(d v1.Descriptor) string {
	for _, name := range []string{d.Annotations[annotationName], d.Annotations[annotationContainerd]} {
		if !strings.Contains(name, "/") {
			continue
		}
		if r, err := reference.Parse(name); err == nil {
			return r.String()
		}
	}
	return ""
}

// unnamedError says why an entry of index.json is left out, and what to write.
func unnamedError(d v1.Descriptor) error {
	const remedy = "write the whole name of the image, as in registry.corp/app:1.0, into its annotation " + annotationName
	for _, name := range []string{d.Annotations[annotationName], d.Annotations[annotationContainerd]} {
		if strings.Contains(name, "/") {
			_, err := reference.Parse(name)
			return fmt.Errorf("%w; %s", err, remedy)
		}
	}
	if name := d.Annotations[annotationName]; name != "" {
		return fmt.Errorf("%s is not a whole image name; %s", reference.Quote(name), remedy)
	}
	return fmt.Errorf("%s has no name; %s", manifest.Short(d.Digest), remedy)
}

// References returns the images of the layout, sorted, without signatures and other attached
// content. problems are the entries that are left out.
func (l *Layout) References() (all []reference.Reference, problems []error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for name := range l.byName {
		if r, err := reference.Parse(name); err == nil && !manifest.IsAttachedTag(r.Tag()) {
			all = append(all, r)
		}
	}
	slices.SortFunc(all, func(a, b reference.Reference) int { return strings.Compare(a.String(), b.String()) })
	problems = slices.Clone(l.unnamed)
	if len(all)+len(problems) == 0 {
		problems = append(problems, l.files.Fault(IndexFile, errors.New("holds no image")))
	}
	return all, problems
}

// BlobPath is the file of a digest. A parsed digest cannot lead out of the layout.
func BlobPath(d v1.Hash) string { return path.Join(blobsDir, d.Algorithm, d.Hex) }

// Damaged makes a *manifest.DamagedError of an error about a digest; other errors of the system are
// returned as they are. A missing file is also ErrNotFound.
func (l *Layout) Damaged(d v1.Hash, err error) error {
	if manifest.IsDamaged(err) || manifest.IsNeeded(err) {
		return err
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = manifest.ErrNotFound
	}
	if _, ok := errors.AsType[syscall.Errno](err); ok {
		return l.files.Fault(BlobPath(d), err) // as permissions: the file may be intact
	}
	return l.files.Damaged(BlobPath(d), err)
}

// Repository returns the images of the layout with this name (registry and repository).
func (l *Layout) Repository(name string) *Repository {
	return &Repository{layout: l, name: name}
}

// Name names an entry of index.json: d without its own annotations, under a complete reference.
// platforms are those that are there of an index, "" if all are.
func Name(d v1.Descriptor, reference, platforms string) v1.Descriptor {
	d.Annotations = map[string]string{annotationName: reference}
	if platforms != "" {
		d.Annotations[manifest.AnnotationPlatforms] = platforms
	}
	return d
}

// newIndex is an empty index.json.
func newIndex() v1.IndexManifest {
	return v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: []v1.Descriptor{}}
}
