package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/berth-registry/berth/images/manifest"
	"github.com/berth-registry/berth/images/transfer"
)

// Blob opens a blob. io.EOF comes only after the content was verified.
func (r *Repository) Blob(ctx context.Context, d v1.Descriptor) (io.ReadCloser, error) {
	resp, err := r.send(ctx, call{
		method: http.MethodGet, url: "blobs/" + d.Digest.String(), what: "blob " + d.Digest.String(), ok: []int{http.StatusOK},
	})
	if err != nil {
		return nil, err
	}
	if resp.ContentLength >= 0 && resp.ContentLength != d.Size {
		err = fmt.Errorf("%s: blob %s: %w (its size is %d and not %d)", r.registry.name, d.Digest, manifest.ErrContent, resp.ContentLength, d.Size)
		return nil, errors.Join(err, resp.Body.Close())
	}
	return manifest.Verified(remoteBody{resp.Body, ctx, r.registry.name}, d)
}

// remoteBody is the body of an answer; its errors name the host.
type remoteBody struct {
	io.ReadCloser
	ctx  context.Context // of the request
	host string
}

func (b remoteBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		err = netErrorOf(b.ctx, b.host, err)
	}
	return n, err
}

// HasBlob reports whether a blob is in the repository.
func (r *Repository) HasBlob(ctx context.Context, d v1.Descriptor) (bool, error) {
	resp, err := r.send(ctx, call{
		method: http.MethodHead, url: "blobs/" + d.Digest.String(), what: "blob " + d.Digest.String(),
		ok: []int{http.StatusOK, http.StatusNotFound},
	})
	if err != nil {
		return false, err
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK, nil
}

// Ensure puts a blob into the repository unless it is there. from is a repository of the registry
// that may have it, "" for none; open is called only for an upload.
//
// The requests before an upload have attempts of their own. If all three requests had to succeed in
// a row, a registry that fails one request in ten would now and then use up all attempts for a
// blob.
func (r *Repository) Ensure(ctx context.Context, d v1.Descriptor, from string, open transfer.Opener) (transfer.Outcome, error) {
	var came transfer.Outcome
	what := "blob " + d.Digest.String()
	err := r.registry.client.Retry(ctx, r.name()+" "+what, func() error {
		var there bool
		// Asked before each attempt: the blob may have arrived and the answer got lost.
		err := r.Retry(ctx, what, func(ctx context.Context) (err error) {
			there, err = r.HasBlob(ctx, d)
			return err
		})
		if err != nil && !IsUnreadable(err) || there {
			return exhausted(err)
		}
		var location string
		err = r.Retry(ctx, what, func(ctx context.Context) (err error) {
			location, err = r.begin(ctx, d, from)
			return err
		})
		if err != nil {
			return exhausted(err)
		}
		if location == "" {
			came = transfer.Mounted
			return nil
		}
		came = transfer.Uploaded
		return transfer.Do(ctx, open, func(ctx context.Context, body io.Reader) error {
			return r.upload(ctx, d, location, body)
		})
	})
	return came, err
}

// begin starts an upload and returns its address, or mounts the blob and returns "".
// https://github.com/opencontainers/distribution-spec/blob/main/spec.md#mounting-a-blob-from-another-repository
func (r *Repository) begin(ctx context.Context, d v1.Descriptor, from string) (string, error) {
	c := call{
		method: http.MethodPost, url: "blobs/uploads/", what: "begin to put blob " + d.Digest.String(),
		ok: []int{http.StatusCreated, http.StatusAccepted},
	}
	if from != "" {
		c.url += "?" + url.Values{"mount": {d.Digest.String()}, "from": {from}}.Encode()
	}
	resp, err := r.send(ctx, c)
	if refusal, ok := errors.AsType[*statusError](err); ok && from != "" && refusal.classify() == actionGiveUp && !refusal.isNoSpace() {
		// Some registries refuse a mount instead of starting an upload:
		// https://github.com/google/go-containerregistry/issues/1404
		return r.begin(ctx, d, "")
	}
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	drain(resp.Body)
	if resp.StatusCode == http.StatusCreated {
		return "", nil
	}
	location, err := resp.Location()
	if err != nil {
		return "", fmt.Errorf("%s: blob %s: the answer of the registry has no upload address", r.registry.name, d.Digest)
	}
	query := location.Query()
	query.Set("digest", d.Digest.String())
	location.RawQuery = query.Encode()
	return location.String(), nil
}

// upload sends the content in one request.
func (r *Repository) upload(ctx context.Context, d v1.Descriptor, location string, body io.Reader) error {
	resp, err := r.send(ctx, call{
		method: http.MethodPut, url: location, what: "put blob " + d.Digest.String(),
		header: map[string]string{"Content-Type": "application/octet-stream"},
		body:   body, size: d.Size, ok: []int{http.StatusCreated, http.StatusNoContent, http.StatusOK},
	})
	if err != nil {
		return err
	}
	drain(resp.Body)
	return resp.Body.Close()
}
