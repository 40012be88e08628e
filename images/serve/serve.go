package serve

import (
	"cmp"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/berth-registry/berth/images/manifest"
)

// Source is a set of images. Its methods may be called at the same time.
type Source interface {
	// Named returns the complete references with a tag or a digest, and what they name.
	Named() map[string]v1.Descriptor
	// Manifest returns verified content; the error is manifest.ErrNotFound for an unknown digest.
	Manifest(v1.Hash) (manifest.Manifest, error)
	// OpenBlob opens content without verifying it; the error is manifest.ErrNotFound for an
	// unknown digest.
	OpenBlob(v1.Hash) (io.ReadSeekCloser, error)
}

// Handler answers pulls from the images of a [Follower].
// https://github.com/opencontainers/distribution-spec/blob/main/spec.md
type Handler struct {
	Images *Follower
	Log    *slog.Logger
}

// Error codes of the distribution spec.
const (
	blobUnknown     = "BLOB_UNKNOWN"
	digestInvalid   = "DIGEST_INVALID"
	manifestUnknown = "MANIFEST_UNKNOWN"
	nameInvalid     = "NAME_INVALID"
	nameUnknown     = "NAME_UNKNOWN"
	unauthorized    = "UNAUTHORIZED"
	unsupported     = "UNSUPPORTED"
	unknown         = "UNKNOWN"
)

// refusal is an answer other than 200.
type refusal struct {
	status        int
	code, message string
}

func notFound(code, message string) *refusal { return &refusal{http.StatusNotFound, code, message} }

// ServeHTTP implements [http.Handler].
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if no := h.answer(w, r); no != nil {
		h.Log.LogAttrs(r.Context(), levelOf(no.status), "not served", slog.String("method", r.Method),
			slog.String("path", r.URL.Path), slog.String("ns", r.URL.Query().Get("ns")),
			slog.Int("status", no.status), slog.String("reason", no.message))
		no.write(w)
	}
}

func levelOf(status int) slog.Level {
	if status >= 500 {
		return slog.LevelError
	}
	return slog.LevelInfo
}

func (h *Handler) answer(w http.ResponseWriter, r *http.Request) *refusal {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		return &refusal{http.StatusMethodNotAllowed, unsupported, "this registry is read-only"}
	}
	path, ok := strings.CutPrefix(r.URL.Path, "/v2/")
	switch {
	case r.URL.Path == "/v2":
		path = ""
	case !ok:
		return notFound(nameUnknown, "a registry answers below /v2/")
	}
	images, err := h.Images.acquire()
	if err != nil {
		return h.broken(r, err)
	}
	defer images.release()
	switch {
	case path == "":
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, "{}")
		return nil
	case path == "_catalog":
		return list(w, r, "repositories", images.names.repositories(), nil)
	}
	name, kind, ref := split(path)
	if kind == "" {
		return notFound(nameInvalid, "the path must be /v2/NAME/{manifests,blobs,tags,referrers}/…")
	}
	repositories := images.names.find(r.URL.Query().Get("ns"), name)
	if len(repositories) == 0 {
		return notFound(nameUnknown, "no image of this repository is here")
	}
	switch kind {
	case "tags":
		return list(w, r, "tags", images.names.tags(repositories), map[string]any{"name": name})
	case "manifests":
		return h.manifest(w, r, images, repositories, ref)
	}
	digest, err := v1.NewHash(ref)
	if err != nil {
		return &refusal{http.StatusBadRequest, digestInvalid, "the digest is malformed"}
	}
	if kind == "referrers" {
		return h.referrers(w, r, images, repositories, digest)
	}
	return h.blob(w, r, images, digest)
}

// split returns the parts of NAME/KIND/REFERENCE; kind is "" for another form.
func split(path string) (name, kind, ref string) {
	parts := strings.Split(path, "/")
	if len(parts) < 3 {
		return "", "", ""
	}
	name, kind, ref = strings.Join(parts[:len(parts)-2], "/"), parts[len(parts)-2], parts[len(parts)-1]
	switch {
	case kind == "tags" && ref == "list", kind == "manifests", kind == "blobs", kind == "referrers":
		return name, kind, ref
	}
	return "", "", ""
}

// broken reports an error of the source, whose text may name local files.
func (h *Handler) broken(r *http.Request, err error) *refusal {
	h.Log.ErrorContext(r.Context(), "content cannot be read", "path", r.URL.Path, "error", err)
	return &refusal{http.StatusInternalServerError, unknown, "the content cannot be read; see the log of berth images serve"}
}

func (h *Handler) manifest(w http.ResponseWriter, r *http.Request, images *opened, repositories []string, ref string) *refusal {
	var digest v1.Hash
	if strings.Contains(ref, ":") {
		var err error
		if digest, err = v1.NewHash(ref); err != nil {
			return &refusal{http.StatusBadRequest, digestInvalid, "the digest is malformed"}
		}
		if !images.names.manifests[digest] {
			return notFound(manifestUnknown, "no manifest with this digest is here")
		}
	} else {
		var no *refusal
		if digest, no = images.names.digest(repositories, ref); no != nil {
			return no
		}
	}
	c, err := images.source.Manifest(digest)
	switch {
	case errors.Is(err, manifest.ErrNotFound) && strings.Contains(ref, ":"):
		return notFound(manifestUnknown, "no manifest with this digest is here")
	case err != nil:
		return h.broken(r, err)
	}
	send(w, r, string(c.Desc.MediaType), digest, strings.NewReader(string(c.Raw)))
	return nil
}

func (h *Handler) blob(w http.ResponseWriter, r *http.Request, images *opened, digest v1.Hash) *refusal {
	body, err := images.source.OpenBlob(digest)
	switch {
	case errors.Is(err, manifest.ErrNotFound):
		return notFound(blobUnknown, "no blob with this digest is here")
	case err != nil:
		return h.broken(r, err)
	}
	defer body.Close()
	send(w, r, "application/octet-stream", digest, body)
	return nil
}

// send answers GET and HEAD with content, also a range of it.
func send(w http.ResponseWriter, r *http.Request, mediaType string, digest v1.Hash, body io.ReadSeeker) {
	header := w.Header()
	header.Set("Content-Type", mediaType)
	header.Set("Docker-Content-Digest", digest.String())
	header.Set("Etag", strconv.Quote(digest.String()))
	http.ServeContent(w, r, "", time.Time{}, body)
}

// referrers answers with the manifests whose subject is digest, as the source lists them under the
// tag for registries without this API.
func (h *Handler) referrers(w http.ResponseWriter, r *http.Request, images *opened, repositories []string, digest v1.Hash) *refusal {
	index := v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: []v1.Descriptor{}}
	wanted := r.URL.Query().Get("artifactType")
	for _, repository := range repositories {
		d, ok := images.names.byRepository[repository][manifest.ReferrersTag(digest)]
		if !ok {
			continue
		}
		c, err := images.source.Manifest(d)
		if err != nil {
			return h.broken(r, err)
		}
		var attached manifest.Attached
		if err := attached.TakeList(c, ""); err != nil {
			return h.broken(r, err)
		}
		for _, d := range attached.Referrers {
			if wanted == "" || d.ArtifactType == wanted {
				index.Manifests = append(index.Manifests, d)
			}
		}
	}
	slices.SortFunc(index.Manifests, func(a, b v1.Descriptor) int { return cmp.Compare(a.Digest.String(), b.Digest.String()) })
	index.Manifests = slices.CompactFunc(index.Manifests, func(a, b v1.Descriptor) bool { return a.Digest == b.Digest })
	if wanted != "" {
		w.Header().Set("Oci-Filters-Applied", "artifactType")
	}
	return writeJSON(w, string(types.OCIImageIndex), index)
}

// list answers with a part of sorted values: n of them after last.
func list(w http.ResponseWriter, r *http.Request, field string, values []string, more map[string]any) *refusal {
	query := r.URL.Query()
	if last := query.Get("last"); last != "" {
		at, found := slices.BinarySearch(values, last)
		if found {
			at++
		}
		values = values[at:]
	}
	if query.Has("n") {
		n, err := strconv.Atoi(query.Get("n"))
		if err != nil || n < 0 {
			return &refusal{http.StatusBadRequest, "PAGINATION_NUMBER_INVALID", "n must be a whole number"}
		}
		if n < len(values) {
			values = values[:n]
			if n > 0 {
				query.Set("last", values[n-1])
				w.Header().Set("Link", "<"+r.URL.EscapedPath()+"?"+query.Encode()+`>; rel="next"`)
			}
		}
	}
	answer := map[string]any{field: append([]string{}, values...)}
	for name, value := range more {
		answer[name] = value
	}
	return writeJSON(w, "application/json", answer)
}

func writeJSON(w http.ResponseWriter, mediaType string, value any) *refusal {
	text, err := json.Marshal(value)
	if err != nil {
		return &refusal{http.StatusInternalServerError, unknown, err.Error()}
	}
	w.Header().Set("Content-Type", mediaType)
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	_, _ = w.Write(text)
	return nil
}

func (no *refusal) write(w http.ResponseWriter) {
	text, err := json.Marshal(map[string]any{"errors": []map[string]string{{"code": no.code, "message": no.message}}})
	if err != nil {
		text = []byte("{}")
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(no.status)
	_, _ = w.Write(text)
}
