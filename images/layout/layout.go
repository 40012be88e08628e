package layout

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/berth-registry/berth/images/manifest"
	"github.com/berth-registry/berth/images/reference"
	"github.com/berth-registry/berth/internal/plainfile"
)

// Layout is a directory in the OCI image layout, with one index.json in which
// each image stands under its full reference.
// https://github.com/opencontainers/image-spec/blob/main/image-layout.md
//
// Blobs and the index appear by a rename, after they were synced: whoever reads
// the directory at any moment, also after a crash, finds each of them whole or
// not at all.
//
// Only regular files below the directory are read and written: the directory may come from
// elsewhere, on a disk or out of an archive.
type Layout struct {
	dir  string
	root *os.Root // dir
	lock *os.File // held while it is written to; nil when it is only read

	mu      sync.Mutex
	index   v1.IndexManifest
	byName  map[string]v1.Descriptor
	unnamed []error            // entries of the index that name no image, or one twice
	named   map[string]bool    // names that this run has given
	partial map[v1.Hash]string // annotationPlatforms of indexes that it has in part
	changed bool
	written time.Time // when the index was

	hashed map[v1.Hash]*hashed // blobs whose digest was computed
}

// annotationName holds the name of an image in index.json.
const annotationName = "org.opencontainers.image.ref.name"

// annotationContainerd is what containerd and BuildKit write instead, where the
// name above is a tag alone.
const annotationContainerd = "io.containerd.image.name"

const (
	markerFile = "oci-layout"
	IndexFile  = "index.json"
	blobsDir   = "blobs"
	markerText = `{"imageLayoutVersion":"1.0.0"}`
)

// maxMarker is how large the file is that says what the directory is, in bytes.
const maxMarker = 64 << 10

// Open reads the layout in dir. Close it.
func Open(dir string) (*Layout, error) {
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%s: is no OCI layout: it has no file %s", dir, markerFile)
	case err != nil:
		return nil, err
	case !info.IsDir():
		return nil, fmt.Errorf("%s: is no directory; name the directory of an OCI layout", dir)
	}
	l, err := newLayout(dir)
	if err != nil {
		return nil, err
	}
	if err = l.check(); err == nil {
		err = l.readIndex()
	}
	if err != nil {
		return nil, errors.Join(err, l.root.Close())
	}
	return l, nil
}

// newLayout is a layout without an image.
func newLayout(dir string) (*Layout, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	return &Layout{
		dir: dir, root: root, index: newIndex(), byName: map[string]v1.Descriptor{},
		named: map[string]bool{}, partial: map[v1.Hash]string{}, hashed: map[v1.Hash]*hashed{},
	}, nil
}

// check reads what the directory is.
func (l *Layout) check() error {
	raw, err := plainfile.Read(l.root, markerFile, maxMarker)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: is no OCI layout: it has no file %s", l.dir, markerFile)
	}
	if err != nil {
		return l.about(markerFile, err)
	}
	var version struct {
		ImageLayoutVersion string `json:"imageLayoutVersion"`
	}
	if err := json.Unmarshal(raw, &version); err != nil || !strings.HasPrefix(version.ImageLayoutVersion, "1.") {
		return l.about(markerFile, errors.New("is an OCI layout of a version that is not known here"))
	}
	return nil
}

// about names the file of an error. What leads out of the directory has a remedy.
func (l *Layout) about(file string, err error) error {
	err = plainfile.Reason(l.root, file, err)
	remedy := ""
	switch {
	case errors.Is(err, plainfile.ErrSymlink):
		remedy = "; copy the directory with what it links to (cp -rL), or name another one"
	case errors.Is(err, plainfile.ErrNotRegular):
		remedy = "; remove it, and copy the images to oci:" + l.dir + " again"
	}
	return fmt.Errorf("%s: %w%s", filepath.Join(l.dir, file), err, remedy)
}

// readIndex reads index.json.
func (l *Layout) readIndex() error {
	raw, err := plainfile.Read(l.root, IndexFile, manifest.MaxSize)
	if err != nil {
		return l.about(IndexFile, err)
	}
	if err := json.Unmarshal(raw, &l.index); err != nil {
		return l.about(IndexFile, errors.New(manifest.OneLine(err.Error())))
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
			l.unnamed = append(l.unnamed, l.entry(i, fmt.Errorf("%s is there twice, as %s and as %s; remove one of them",
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
	return fmt.Errorf("%s: manifests[%d]: %w", filepath.Join(l.dir, IndexFile), i, err)
}

// nameOf is the full reference of an entry of index.json, "" if it has
// none: a tag alone does not say of which image.
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
		return fmt.Errorf("%s does not say of which image it is; %s", reference.Quote(name), remedy)
	}
	return fmt.Errorf("%s has no name; %s", manifest.Short(d.Digest), remedy)
}

// References lists the images of the layout, sorted; signatures and what else
// belongs to an image are not among them. The problems are what keeps the list from being all
// that the directory holds.
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
		problems = append(problems, fmt.Errorf("%s: holds no image", filepath.Join(l.dir, IndexFile)))
	}
	return all, problems
}

// blobPath is where content is, below the directory. A digest has been parsed, so that it leads
// nowhere else.
func blobPath(d v1.Hash) string { return path.Join(blobsDir, d.Algorithm, d.Hex) }

// Damaged makes a *damagedError of an error about the content of a digest; an error of the system
// stays one. A file that is missing is errNotThere, too.
func (l *Layout) Damaged(d v1.Hash, err error) error {
	if _, ok := errors.AsType[*manifest.DamagedError](err); ok {
		return err
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = manifest.ErrNotFound
	}
	if _, ok := errors.AsType[syscall.Errno](err); ok {
		return l.about(blobPath(d), err) // permissions, a disk: it need not be damaged
	}
	return &manifest.DamagedError{Dir: l.dir, File: blobPath(d), Err: err}
}

// Repository gives the images of the layout with this name (registry and
// repository).
func (l *Layout) Repository(name string) *Repository {
	return &Repository{layout: l, name: name}
}

// newIndex is an index.json without an image.
func newIndex() v1.IndexManifest {
	return v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: []v1.Descriptor{}}
}
