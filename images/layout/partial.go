package layout

import (
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/berth-registry/berth/images/manifest"
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

// HeldPlatforms is the value of AnnotationPlatforms for an index, "" if has reports that all of its
// manifests are there.
func HeldPlatforms(c manifest.Manifest, has func(v1.Hash) bool) string {
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
		p := manifest.PlatformOf(d.Platform)
		switch {
		case !has(d.Digest):
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
