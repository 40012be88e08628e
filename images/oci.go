package images

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// layout is a directory in the OCI image layout, with one index.json in which
// each image stands under its full reference.
// https://github.com/opencontainers/image-spec/blob/main/image-layout.md
//
// Blobs and the index appear by a rename, after they were synced: whoever reads
// the directory at any moment, also after a crash, finds each of them whole or
// not at all.
type layout struct {
	dir  string
	lock *os.File // held while it is written to; nil when it is only read

	mu      sync.Mutex
	index   v1.IndexManifest
	byName  map[string]v1.Descriptor
	changed bool
	written time.Time // when the index was
}

// annotationName holds the name of an image in index.json.
const annotationName = "org.opencontainers.image.ref.name"

// annotationContainerd is what containerd and BuildKit write instead, where the
// name above is a tag alone.
const annotationContainerd = "io.containerd.image.name"

const (
	layoutFile = "oci-layout"
	indexFile  = "index.json"
	blobsDir   = "blobs"
	layoutText = `{"imageLayoutVersion":"1.0.0"}`
)

// openLayout reads the layout in dir.
func openLayout(dir string) (*layout, error) {
	if err := checkLayout(dir); err != nil {
		return nil, err
	}
	l := &layout{dir: dir, byName: map[string]v1.Descriptor{}}
	raw, err := os.ReadFile(filepath.Join(dir, indexFile))
	if err != nil {
		return nil, err
	}
	return l, l.read(raw)
}

func checkLayout(dir string) error {
	raw, err := os.ReadFile(filepath.Join(dir, layoutFile))
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: is no OCI layout: it has no file %s", dir, layoutFile)
	}
	if err != nil {
		return err
	}
	var version struct {
		ImageLayoutVersion string `json:"imageLayoutVersion"`
	}
	if err := json.Unmarshal(raw, &version); err != nil || !strings.HasPrefix(version.ImageLayoutVersion, "1.") {
		return fmt.Errorf("%s: is an OCI layout of a version that is not known here", filepath.Join(dir, layoutFile))
	}
	return nil
}

// read takes over an index.json.
func (l *layout) read(raw []byte) error {
	if err := json.Unmarshal(raw, &l.index); err != nil {
		return fmt.Errorf("%s: %s", filepath.Join(l.dir, indexFile), oneLine(err.Error()))
	}
	for _, d := range l.index.Manifests {
		if name := layoutName(d); name != "" {
			l.byName[name] = d
		}
	}
	return nil
}

// layoutName is the full reference of an entry of index.json, "" if it has
// none: a tag alone does not say of which image.
func layoutName(d v1.Descriptor) string {
	for _, name := range []string{d.Annotations[annotationName], d.Annotations[annotationContainerd]} {
		if !strings.Contains(name, "/") {
			continue
		}
		if r, err := Parse(name); err == nil {
			return r.String()
		}
	}
	return ""
}

// references lists the images of the layout, sorted; signatures and what else
// belongs to an image are not among them.
func (l *layout) references() []Reference {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []Reference
	for name := range l.byName {
		if r, err := Parse(name); err == nil && !isAttachedTag(r.Tag()) {
			all = append(all, r)
		}
	}
	slices.SortFunc(all, func(a, b Reference) int { return strings.Compare(a.String(), b.String()) })
	return all
}

// blobPath is where content lies. A digest has been parsed, so that it leads
// nowhere else.
func (l *layout) blobPath(d v1.Hash) string {
	return filepath.Join(l.dir, blobsDir, d.Algorithm, d.Hex)
}

// repository gives the images of the layout with this name (registry and
// repository).
func (l *layout) repository(name string) *layoutRepository {
	return &layoutRepository{layout: l, name: name}
}

// newIndex is an index.json without an image.
func newIndex() v1.IndexManifest {
	return v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: []v1.Descriptor{}}
}
