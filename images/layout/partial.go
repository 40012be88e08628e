package layout

import (
	"errors"
	"io/fs"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/berth-registry/berth/images/manifest"
	"github.com/berth-registry/berth/internal/plainfile"
)

// Partial returns the platforms of an index that the layout has, and true if these are not all.
func (l *Layout) Partial(d v1.Hash) ([]manifest.Platform, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	list, ok := l.partial[d]
	if !ok {
		return nil, false
	}
	platforms := []manifest.Platform{}
	for name := range strings.SplitSeq(list, ",") {
		if p, err := manifest.ParsePlatform(name); err == nil {
			platforms = append(platforms, p)
		}
	}
	return platforms, true
}

// heldPlatforms is the value of AnnotationPlatforms for an index, "" if the layout has all of it.
func (l *Layout) heldPlatforms(c manifest.Manifest) string {
	if !c.Desc.MediaType.IsIndex() {
		return ""
	}
	index, err := manifest.ReadIndex(c)
	if err != nil {
		return ""
	}
	var platforms []string
	all := true
	for _, d := range index.Manifests {
		_, err := plainfile.Stat(l.root, blobPath(d.Digest))
		p := manifest.PlatformOf(d.Platform)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			all = false
		case p.OS != "" && p.OS != "unknown" && !slices.Contains(platforms, p.String()):
			platforms = append(platforms, p.String())
		}
	}
	if all {
		return ""
	}
	return strings.Join(platforms, ",")
}
