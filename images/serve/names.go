package serve

import (
	"maps"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/berth-registry/berth/images/manifest"
	"github.com/berth-registry/berth/internal/dockerhub"
)

// names says which digest a request asks for.
type names struct {
	// byRepository has the tags and digests of each registry/repository.
	byRepository map[string]map[string]v1.Hash
	// byPath has the names of byRepository by their path on a registry, sorted.
	byPath map[string][]string
	// manifests are the digests that names lead to, also through indexes.
	manifests map[v1.Hash]bool
}

// newNames reads the complete references of a source: registry/repository:tag or
// registry/repository@digest.
func newNames(source Source) names {
	n := names{map[string]map[string]v1.Hash{}, map[string][]string{}, map[v1.Hash]bool{}}
	named := source.Named()
	for _, full := range slices.Sorted(maps.Keys(named)) {
		repository, ref, isDigest := strings.Cut(full, "@")
		if !isDigest {
			colon := strings.LastIndexByte(full, ':')
			repository, ref = full[:max(colon, 0)], full[colon+1:]
		}
		_, path, ok := strings.Cut(repository, "/")
		if !ok {
			continue
		}
		if n.byRepository[repository] == nil {
			n.byRepository[repository] = map[string]v1.Hash{}
			n.byPath[path] = append(n.byPath[path], repository)
		}
		n.byRepository[repository][ref] = named[full].Digest
		n.reach(source, named[full], 0)
	}
	return n
}

// reach adds a manifest and, for an index, those that it lists. An index that is missing or damaged
// lists none: a request for it gets the error.
func (n names) reach(source Source, d v1.Descriptor, depth int) {
	if n.manifests[d.Digest] || depth > manifest.MaxNesting {
		return
	}
	n.manifests[d.Digest] = true
	if !d.MediaType.IsIndex() {
		return
	}
	c, err := source.Manifest(d.Digest)
	if err != nil {
		return
	}
	index, err := manifest.ReadIndex(c)
	if err != nil {
		return
	}
	for _, child := range index.Manifests {
		n.reach(source, child, depth+1)
	}
}

// find returns the repositories that a request names: by ns, containerd's name of the upstream, and
// by the path. With ns it is one repository of that registry or none, so that an image of one
// registry never takes the place of another's.
func (n names) find(ns, path string) []string {
	if ns != "" {
		ns = dockerhub.Canonical(strings.ToLower(ns))
		for _, name := range []string{ns + "/" + path, path} {
			if n.byRepository[name] != nil && strings.HasPrefix(name, ns+"/") {
				return []string{name}
			}
		}
		return nil
	}
	if n.byRepository[path] != nil {
		return []string{path}
	}
	return n.byPath[path]
}

// digest returns what a tag names. If repositories of two registries have it with different content,
// it names neither.
func (n names) digest(repositories []string, tag string) (v1.Hash, *refusal) {
	var found v1.Hash
	var in string
	for _, repository := range repositories {
		d, ok := n.byRepository[repository][tag]
		switch {
		case !ok:
		case in != "" && d != found:
			return v1.Hash{}, notFound(manifestUnknown, "the tag names different images in "+in+" and "+repository+
				"; ask for "+in+":"+tag+" with the registry in the path, or with ?ns=")
		default:
			found, in = d, repository
		}
	}
	if in == "" {
		return v1.Hash{}, notFound(manifestUnknown, "no image with this tag is here")
	}
	return found, nil
}

// tags returns the tags of repositories, sorted.
func (n names) tags(repositories []string) []string {
	all := map[string]bool{}
	for _, repository := range repositories {
		for ref := range n.byRepository[repository] {
			if !strings.Contains(ref, ":") {
				all[ref] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// repositories returns all names with their registry, sorted: each can be asked for as it is.
func (n names) repositories() []string { return slices.Sorted(maps.Keys(n.byRepository)) }
