package fakeregistry

import (
	"fmt"
	"maps"
	"slices"
)

// PutBlob stores a blob in a repository without a request.
func (s *Server) PutBlob(repository string, content []byte) (digest string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	digest = digestOf(content)
	s.blobs[digest] = content
	s.repo(repository, true).blobs[digest] = true
	return digest
}

// PutManifest stores a manifest under its digest and, unless it is "", a tag. It makes no request
// and does not check the manifest.
func (s *Server) PutManifest(repository, tag, mediaType string, raw []byte) (digest string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	digest = digestOf(raw)
	p := s.repo(repository, true)
	p.manifests[digest] = manifest{mediaType: mediaType, raw: raw}
	if tag != "" {
		p.tags[tag] = digest
	}
	return digest
}

// Delete removes a tag, a manifest or a blob.
func (s *Server) Delete(repository, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.repo(repository, true)
	delete(p.tags, name)
	delete(p.manifests, name)
	delete(p.blobs, name)
}

// Contents returns what the registry holds, sorted: "repository:tag digest" for tags,
// "repository@digest" for manifests, "repository/blob digest" for blobs. Two registries with equal
// Contents hold the same bytes.
func (s *Server) Contents() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []string
	for name, p := range s.repos {
		for tag, digest := range p.tags {
			all = append(all, fmt.Sprintf("%s:%s %s", name, tag, digest))
		}
		for digest := range maps.Keys(p.manifests) {
			all = append(all, name+"@"+digest)
		}
		for digest := range p.blobs {
			all = append(all, name+"/blob "+digest)
		}
	}
	slices.Sort(all)
	return all
}

// Manifest returns the bytes that a tag or a digest names, nil if there are none.
func (s *Server) Manifest(repository, name string) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.repo(repository, false)
	if p == nil {
		return nil
	}
	if d, ok := p.tags[name]; ok {
		name = d
	}
	return p.manifests[name].raw
}
