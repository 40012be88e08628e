package fakeregistry

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sort"
	"strings"
)

const indexType = "application/vnd.oci.image.index.v1+json"

func digestOf(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// api serves the paths below the root.
// https://github.com/opencontainers/distribution-spec/blob/main/spec.md#endpoints
func (s *Server) api(w http.ResponseWriter, r *http.Request) {
	path, below := strings.CutPrefix(r.URL.Path, s.options.Root+"/")
	switch {
	case !below:
		refuse(w, http.StatusNotFound, "UNSUPPORTED", "no such endpoint")
	case path == "":
		w.WriteHeader(http.StatusOK)
	default:
		s.repository(w, r, path)
	}
}

func (s *Server) repository(w http.ResponseWriter, r *http.Request, path string) {
	for kind, serve := range map[string]func(http.ResponseWriter, *http.Request, string, string){
		"/blobs/uploads/": s.serveUpload, "/blobs/": s.serveBlob, "/manifests/": s.serveManifest, "/referrers/": s.serveReferrers, "/tags/": s.serveTags,
	} {
		name, rest, ok := strings.Cut(path, kind)
		if !ok || kind == "/blobs/" && strings.HasPrefix(rest, "uploads/") {
			continue
		}
		serve(w, r, name, rest)
		return
	}
	refuse(w, http.StatusNotFound, "UNSUPPORTED", "no such endpoint")
}

// known returns a repository to read from; if there is none, it has answered with an error.
func (s *Server) known(w http.ResponseWriter, name string) *repo {
	p := s.repo(name, false)
	if p == nil {
		refuse(w, http.StatusNotFound, "NAME_UNKNOWN", "repository name not known to registry")
	}
	return p
}

// writable returns a repository to write to.
func (s *Server) writable(w http.ResponseWriter, name string) *repo {
	if s.options.Fixed != nil {
		return s.known(w, name)
	}
	return s.repo(name, true)
}

func (s *Server) serveUpload(w http.ResponseWriter, r *http.Request, name, id string) {
	body, err := io.ReadAll(r.Body)
	if err != nil || r.ContentLength >= 0 && int64(len(body)) != r.ContentLength {
		refuse(w, http.StatusBadRequest, "SIZE_INVALID", "the content ended early")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.writable(w, name)
	if p == nil {
		return
	}
	digest := r.URL.Query().Get("digest")
	switch {
	case r.Method == http.MethodPost:
		s.beginUpload(w, r, name, p)
	case r.Method != http.MethodPut || id == "":
		refuse(w, http.StatusMethodNotAllowed, "UNSUPPORTED", "use PUT")
	case digestOf(body) != digest:
		refuse(w, http.StatusBadRequest, "DIGEST_INVALID", "provided digest did not match uploaded content")
	default:
		s.blobs[digest] = body
		p.blobs[digest] = true
		w.Header().Set("Docker-Content-Digest", digest)
		w.WriteHeader(http.StatusCreated)
	}
}

func (s *Server) beginUpload(w http.ResponseWriter, r *http.Request, name string, p *repo) {
	mount := r.URL.Query().Get("mount")
	from := s.repo(r.URL.Query().Get("from"), false)
	if mount != "" && from != nil && from.blobs[mount] && !s.options.NoMount {
		p.blobs[mount] = true
		w.Header().Set("Location", s.options.Root+"/"+name+"/blobs/"+mount)
		w.WriteHeader(http.StatusCreated)
		return
	}
	s.uploads++
	w.Header().Set("Location", fmt.Sprintf("%s/%s/blobs/uploads/%d?_state=x%%3D1", s.options.Root, name, s.uploads))
	w.WriteHeader(http.StatusAccepted)
}

func (s *Server) serveBlob(w http.ResponseWriter, r *http.Request, name, digest string) {
	s.mu.Lock()
	p := s.known(w, name)
	var body []byte
	has := p != nil && p.blobs[digest]
	if has {
		body = s.blobs[digest]
	}
	s.mu.Unlock()
	if p == nil {
		return
	}
	if !has {
		refuse(w, http.StatusNotFound, "BLOB_UNKNOWN", "blob unknown to registry")
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", fmt.Sprint(len(body)))
	w.Header().Set("Docker-Content-Digest", digest)
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodGet {
		_, _ = w.Write(body) // a client that disconnects is not an error
	}
}

func (s *Server) serveManifest(w http.ResponseWriter, r *http.Request, name, ref string) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		refuse(w, http.StatusBadRequest, "MANIFEST_INVALID", "the content ended early")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.Method == http.MethodPut {
		s.putManifest(w, r, name, ref, body)
		return
	}
	p := s.known(w, name)
	if p == nil {
		return
	}
	digest := ref
	if d, ok := p.tags[ref]; ok {
		digest = d
	}
	m, ok := p.manifests[digest]
	if !ok {
		refuse(w, http.StatusNotFound, "MANIFEST_UNKNOWN", "manifest unknown")
		return
	}
	w.Header().Set("Content-Type", m.mediaType)
	w.Header().Set("Content-Length", fmt.Sprint(len(m.raw)))
	w.Header().Set("Docker-Content-Digest", digest)
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodGet {
		_, _ = w.Write(m.raw) // see serveBlob
	}
}

// parts are the digests that a manifest names.
type parts struct {
	MediaType string `json:"mediaType"`
	Config    *part  `json:"config"`
	Layers    []part `json:"layers"`
	Manifests []part `json:"manifests"`
	Subject   *part  `json:"subject"`
	Artifact  string `json:"artifactType"`
}

type part struct {
	MediaType string            `json:"mediaType"`
	Digest    string            `json:"digest"`
	Size      int64             `json:"size"`
	Artifact  string            `json:"artifactType,omitempty"`
	Notes     map[string]string `json:"annotations,omitempty"`
}

func (s *Server) putManifest(w http.ResponseWriter, r *http.Request, name, ref string, body []byte) {
	p := s.writable(w, name)
	if p == nil {
		return
	}
	digest := digestOf(body)
	var m parts
	switch err := json.Unmarshal(body, &m); {
	case err != nil:
		refuse(w, http.StatusBadRequest, "MANIFEST_INVALID", "no JSON")
		return
	case strings.Contains(ref, ":") && ref != digest:
		refuse(w, http.StatusBadRequest, "DIGEST_INVALID", "provided digest did not match uploaded content")
		return
	case m.MediaType != "" && m.MediaType != r.Header.Get("Content-Type"):
		refuse(w, http.StatusBadRequest, "MANIFEST_INVALID", "the content type is not that of the manifest")
		return
	}
	if missing := p.missing(m); missing != "" {
		refuse(w, http.StatusBadRequest, "MANIFEST_BLOB_UNKNOWN", "unknown to registry: "+missing)
		return
	}
	p.manifests[digest] = manifest{mediaType: r.Header.Get("Content-Type"), raw: body}
	if !strings.Contains(ref, ":") {
		p.tags[ref] = digest
	}
	if m.Subject != nil && s.options.Referrers {
		w.Header().Set("OCI-Subject", m.Subject.Digest)
	}
	w.Header().Set("Docker-Content-Digest", digest)
	w.WriteHeader(http.StatusCreated)
}

// missing returns the parts of a manifest that the repository does not have.
func (p *repo) missing(m parts) string {
	layers := m.Layers
	if m.Config != nil {
		layers = append([]part{*m.Config}, layers...)
	}
	for _, l := range layers {
		if !strings.Contains(l.MediaType, "nondistributable") && !strings.Contains(l.MediaType, "foreign") && !p.blobs[l.Digest] {
			return l.Digest
		}
	}
	for _, c := range m.Manifests {
		if _, ok := p.manifests[c.Digest]; !ok {
			return c.Digest
		}
	}
	return ""
}

func (s *Server) serveReferrers(w http.ResponseWriter, r *http.Request, name, digest string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.options.Referrers {
		http.NotFound(w, r)
		return
	}
	all := []part{}
	if p := s.repo(name, false); p != nil {
		for own, m := range p.manifests {
			var named parts
			if json.Unmarshal(m.raw, &named) == nil && named.Subject != nil && named.Subject.Digest == digest {
				all = append(all, part{MediaType: m.mediaType, Digest: own, Size: int64(len(m.raw)), Artifact: named.Artifact})
			}
		}
	}
	slices.SortFunc(all, func(a, b part) int { return strings.Compare(a.Digest, b.Digest) })
	at := slices.IndexFunc(all, func(p part) bool { return p.Digest > r.URL.Query().Get("last") })
	all = all[max(at, 0):]
	if s.options.Page > 0 && len(all) > s.options.Page {
		all = all[:s.options.Page]
		w.Header().Set("Link", fmt.Sprintf(`<%s/%s/referrers/%s?last=%s>; rel="next"`, s.options.Root, name, digest, all[len(all)-1].Digest))
	}
	w.Header().Set("Content-Type", indexType)
	_ = json.NewEncoder(w).Encode(map[string]any{"schemaVersion": 2, "mediaType": indexType, "manifests": all})
}

func (s *Server) serveTags(w http.ResponseWriter, r *http.Request, name, _ string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.known(w, name)
	if p == nil {
		return
	}
	var tags []string
	for t := range p.tags {
		if t > r.URL.Query().Get("last") {
			tags = append(tags, t)
		}
	}
	sort.Strings(tags)
	if s.options.Page > 0 && len(tags) > s.options.Page {
		tags = tags[:s.options.Page]
		w.Header().Set("Link", fmt.Sprintf(`<%s/%s/tags/list?last=%s>; rel="next"`, s.options.Root, name, tags[len(tags)-1]))
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"name": name, "tags": tags})
}
