// Package bundle reads and writes bundles: an OCI layout in one tar, FILE.tar or FILE.tar.zst, from
// which any blob can be read without the others. The decision record 35 describes the format.
//
// It promises that equal content gives equal bytes, that a file has its name only when it is
// complete, and that a reader takes nothing that a writer cannot have written: every byte is
// compared or covered by a digest or checksum. It keeps no blob in memory.
//
// Start reading at [Open] and [Create]. A [Bundle] is the storage of a [layout.Layout].
package bundle

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/berth-registry/berth/images/layout"
	"github.com/berth-registry/berth/images/reference"
)

// Plan is the content of a bundle.
type Plan struct {
	// Blobs are all blobs and manifests, each once, in the order of the file.
	Blobs []v1.Descriptor
	Index []byte // index.json
	// Base names the bundle or directory that has the blobs and manifests in Needed; "" if nothing
	// is left out.
	Base   string
	Needed []Needed
}

// Needed is a blob or manifest that a bundle leaves out.
type Needed struct {
	Digest v1.Hash
	Size   int64
	// Repository is one of the base that has it, with its registry.
	Repository string
}

// IndexFile returns the file that changes when images are added or replaced.
func IndexFile(at reference.Location) string {
	if at.Bundle() == "" {
		return filepath.Join(at.Layout(), layout.IndexFile)
	}
	if _, err := os.Stat(at.Bundle()); err != nil {
		return part(at.Bundle(), 0)
	}
	return at.Bundle()
}

// part is the name of part i of a bundle that is split, or of the bundle for i = -1.
func part(name string, i int) string {
	if i < 0 {
		return name
	}
	return fmt.Sprintf("%s.%03d", name, i)
}

// maxParts limits the parts of a bundle: their numbers have three digits.
const maxParts = 1000

// find returns the name without a part's number, and the files of the bundle.
func find(name string) (string, []string, error) {
	name = strings.TrimSuffix(name, ".000")
	_, err := os.Stat(name)
	if err == nil {
		return name, []string{name}, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return name, nil, err
	}
	var files []string
	for i := range maxParts {
		if _, err := os.Stat(part(name, i)); errors.Is(err, fs.ErrNotExist) {
			break
		} else if err != nil {
			return name, nil, err
		}
		files = append(files, part(name, i))
	}
	if len(files) == 0 {
		return name, nil, err
	}
	return name, files, nil
}

// isZstd reports whether the name says that the bundle is compressed.
func isZstd(name string) bool { return strings.HasSuffix(name, ".zst") }

// maxSize limits every size in a bundle, so that sums do not overflow.
const maxSize = math.MaxInt64 >> 8
