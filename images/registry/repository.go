package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"strings"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/berth-registry/berth/images/manifest"
	"github.com/berth-registry/berth/images/reference"
	"github.com/berth-registry/berth/images/transfer"
)

// acceptManifests are the media types that are asked for.
var acceptManifests = strings.Join([]string{
	string(types.OCIManifestSchema1), string(types.OCIImageIndex),
	string(types.DockerManifestSchema2), string(types.DockerManifestList), "*/*",
}, ", ")

// Repository is one repository of a registry, with its login.
type Repository struct {
	registry *Registry
	path     string
	push     bool
	Upstream string // the registry that a mirror stands for, sent in ?ns=; "" for none

	mu             sync.Mutex
	client         *http.Client
	login          credential
	err            error
	challengeTaken bool // a challenge in an answer was used

	tagsMu        sync.Mutex
	tagsLoaded    bool
	tags          map[string]bool // all tags; nil if they cannot be listed
	apiKnown, api bool            // whether the registry has the referrers API
}

// Repository returns the repository at path; push asks for the right to push, too.
func (r *Registry) Repository(path string, push bool) *Repository {
	return &Repository{registry: r, path: path, push: push}
}

// authorized returns the client that logs in. The result holds for the run.
func (r *Repository) authorized(ctx context.Context) (*http.Client, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.client != nil || r.err != nil {
		return r.client, r.err
	}
	c, err := r.registry.pingOnce(ctx)
	if err == nil {
		err = r.logIn(ctx, c)
	}
	if err != nil && ctx.Err() == nil {
		r.err = err
	}
	return r.client, err
}

// logIn makes the client for a challenge. The lock is held.
func (r *Repository) logIn(ctx context.Context, c *transport.Challenge) error {
	actions := "pull"
	if r.push {
		actions = "pull,push"
	}
	scope := "repository:" + path.Join(r.registry.prefix(), r.path) + ":" + actions
	login, way, err := r.registry.authorize(ctx, c, r.path, scope)
	if err != nil {
		return err
	}
	r.login, r.client = login, &http.Client{Transport: way}
	return nil
}

// retakeChallenge uses the challenge of an answer, once: the /v2/ of some registries needs no login
// while their repositories do.
func (r *Repository) retakeChallenge(ctx context.Context, resp *http.Response) bool {
	if resp.StatusCode != http.StatusUnauthorized || resp.Header.Get("WWW-Authenticate") == "" {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.challengeTaken {
		return false
	}
	r.challengeTaken = true
	c, err := r.registry.readChallenge(ctx, resp)
	return err == nil && strings.EqualFold(c.Scheme, "bearer") && r.logIn(ctx, c) == nil
}

// call is one request.
type call struct {
	method string
	url    string // absolute, or relative to the repository
	header map[string]string
	body   io.Reader
	size   int64 // of body
	what   string
	ok     []int
}

// send sends a request and checks the status of the answer. The caller closes the body.
func (r *Repository) send(ctx context.Context, c call) (*http.Response, error) {
	resp, err := r.sendOnce(ctx, c)
	if err != nil {
		return nil, err
	}
	if c.body == nil && r.retakeChallenge(ctx, resp) {
		resp.Body.Close()
		if resp, err = r.sendOnce(ctx, c); err != nil {
			return nil, err
		}
	}
	if err := r.registry.checkStatus(resp, c.what, c.ok...); err != nil {
		resp.Body.Close()
		if e, ok := errors.AsType[*statusError](err); ok {
			e.hint = r.login.hint(e)
		}
		return nil, err
	}
	return resp, nil
}

func (r *Repository) sendOnce(ctx context.Context, c call) (*http.Response, error) {
	client, err := r.authorized(ctx)
	if err != nil {
		return nil, err
	}
	address := c.url
	reg := r.registry
	if !strings.Contains(address, "://") {
		address = reg.settings.scheme() + "://" + reg.host + reg.root + "/" + r.path + "/" + address
		if r.Upstream != "" {
			address += "?" + url.Values{"ns": {r.Upstream}}.Encode()
		}
	}
	req, err := http.NewRequestWithContext(ctx, c.method, address, c.body)
	if err != nil {
		return nil, fmt.Errorf("%s: %s: the address is malformed", reg.name, c.what)
	}
	if reference.SameRegistry(req.URL.Host, reg.host) {
		req.URL.Host, req.Host = reg.host, reg.host // its port may be written differently
	}
	if c.body != nil {
		req.ContentLength = c.size
		if c.size == 0 {
			req.Body = http.NoBody
		}
	}
	for name, value := range c.header {
		req.Header.Set(name, value)
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, netErrorOf(ctx, r.registry.name, err)
	}
	return resp, nil
}

// Manifest gets the manifest of ref, a tag or a digest; [manifest.ErrNotFound] if there is none.
func (r *Repository) Manifest(ctx context.Context, ref string) (manifest.Manifest, error) {
	var got manifest.Manifest
	err := r.Retry(ctx, "manifest "+ref, func(ctx context.Context) error {
		resp, err := r.send(ctx, call{
			method: http.MethodGet, url: "manifests/" + ref, what: "manifest " + ref,
			header: map[string]string{"Accept": acceptManifests}, ok: []int{http.StatusOK, http.StatusNotFound},
		})
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode == http.StatusNotFound {
			return r.notFound(resp)
		}
		raw, err := io.ReadAll(io.LimitReader(resp.Body, manifest.MaxSize+1))
		if err != nil {
			return netErrorOf(ctx, r.registry.name, err)
		}
		got, err = r.parse(ref, resp.Header, raw)
		return err
	})
	return got, err
}

// parse makes a manifest of an answer, and verifies its digest.
func (r *Repository) parse(ref string, h http.Header, raw []byte) (manifest.Manifest, error) {
	if len(raw) > manifest.MaxSize {
		return manifest.Manifest{}, fmt.Errorf("%s: manifest %s: is larger than %d MiB", r.registry.name, ref, manifest.MaxSize>>20)
	}
	algorithm := "sha256"
	want, byDigest := v1.Hash{}, strings.Contains(ref, ":")
	if byDigest {
		var err error
		if want, err = v1.NewHash(ref); err != nil {
			return manifest.Manifest{}, fmt.Errorf("digest %q: %w", ref, err)
		}
		algorithm = want.Algorithm
	}
	got, err := manifest.DigestOf(algorithm, raw)
	if err != nil {
		return manifest.Manifest{}, err
	}
	if byDigest && got != want {
		return manifest.Manifest{}, fmt.Errorf("%s: manifest %s: %w (it is %s)", r.registry.name, ref, manifest.ErrContent, got)
	}
	if said, err := v1.NewHash(h.Get("Docker-Content-Digest")); err == nil && said.Algorithm == algorithm && said != got {
		return manifest.Manifest{}, fmt.Errorf("%s: manifest %s: %w (the registry says %s, and it is %s)", r.registry.name, ref, manifest.ErrContent, said, got)
	}
	return manifest.New(h.Get("Content-Type"), got, raw)
}

// Digest returns the digest of a tag or digest with a HEAD request, which does not count as a pull.
// If the registry does not say the digest, the manifest is read.
func (r *Repository) Digest(ctx context.Context, ref string) (v1.Hash, error) {
	d, err := r.describe(ctx, ref)
	if err != nil || d.Digest.Hex != "" {
		return d.Digest, err
	}
	c, err := r.Manifest(ctx, ref)
	return c.Desc.Digest, err
}

// describe returns digest and size of a manifest as the registry gives them in the answer to HEAD.
// A missing digest is empty, a missing size -1.
func (r *Repository) describe(ctx context.Context, ref string) (v1.Descriptor, error) {
	var got v1.Descriptor
	err := r.Retry(ctx, "manifest "+ref, func(ctx context.Context) error {
		got = v1.Descriptor{Size: -1}
		resp, err := r.send(ctx, call{
			method: http.MethodHead, url: "manifests/" + ref, what: "manifest " + ref,
			header: map[string]string{"Accept": acceptManifests},
			ok:     []int{http.StatusOK, http.StatusNotFound, http.StatusMethodNotAllowed},
		})
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode == http.StatusNotFound {
			return manifest.ErrNotFound
		}
		hash, err := v1.NewHash(resp.Header.Get("Docker-Content-Digest"))
		if err == nil && resp.StatusCode == http.StatusOK {
			got = v1.Descriptor{Digest: hash, Size: resp.ContentLength}
		}
		return nil
	})
	return got, err
}

// HasManifest reports whether ref has this digest and size. An answer with the digest and without
// the size, or with another one, is not trusted: then the manifest is read.
func (r *Repository) HasManifest(ctx context.Context, ref string, want v1.Descriptor) (bool, error) {
	d, err := r.describe(ctx, ref)
	switch {
	case err != nil:
		return false, err
	case d.Digest == want.Digest && d.Size == want.Size:
		return true, nil
	case d.Digest.Hex != "" && d.Digest != want.Digest:
		return false, nil
	}
	c, err := r.Manifest(ctx, ref)
	return c.Desc.Digest == want.Digest, err
}

// Put stores a manifest under a tag or its digest, and checks that the registry confirms the
// digest.
func (r *Repository) Put(ctx context.Context, ref string, c manifest.Manifest) error {
	first := true
	return r.Retry(ctx, "manifest "+ref, func(ctx context.Context) error {
		if !first {
			// The registry may have it, and the answer got lost.
			if have, err := r.Digest(ctx, ref); err == nil && have == c.Desc.Digest {
				return nil
			}
		}
		first = false
		resp, err := r.send(ctx, call{
			method: http.MethodPut, url: "manifests/" + ref, what: "put manifest " + ref,
			header: map[string]string{"Content-Type": string(c.Desc.MediaType)},
			body:   bytes.NewReader(c.Raw), size: int64(len(c.Raw)),
			ok: []int{http.StatusCreated, http.StatusOK, http.StatusAccepted},
		})
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		drain(resp.Body)
		if said := resp.Header.Get("Docker-Content-Digest"); said != "" && said != c.Desc.Digest.String() && c.Desc.Digest.Algorithm == "sha256" {
			return fmt.Errorf("%s: manifest %s: the registry has stored %s instead of %s", r.registry.name, ref, said, c.Desc.Digest)
		}
		return nil
	})
}

// notFound tells a missing repository from a missing tag.
func (r *Repository) notFound(resp *http.Response) error {
	err := r.registry.checkStatus(resp, "")
	if e, ok := errors.AsType[*statusError](err); ok && e.hasCode(transport.NameUnknownErrorCode) {
		return fmt.Errorf("%w: %w", manifest.ErrNotFound, ErrNoRepository)
	}
	return manifest.ErrNotFound
}

// ErrNoRepository says that the repository does not exist.
var ErrNoRepository = errors.New("the repository does not exist")

// Retry retries requests whose answers are small.
func (r *Repository) Retry(ctx context.Context, what string, f func(context.Context) error) error {
	return r.registry.client.Retry(ctx, r.name()+" "+what, func() error {
		slow := &transfer.NetError{Host: r.registry.name, Err: fmt.Errorf("%s: no answer in %s", what, transfer.StallLimit)}
		ctx, cancel := context.WithTimeoutCause(ctx, transfer.StallLimit, slow)
		defer cancel()
		return f(ctx)
	})
}

func (r *Repository) name() string { return r.registry.name + "/" + r.path }

// PutNamed stores a manifest under a tag or digest; in a registry that is [Repository.Put].
func (r *Repository) PutNamed(ctx context.Context, ref string, c manifest.Manifest) error {
	return r.Put(ctx, ref, c)
}
