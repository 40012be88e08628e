package load

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/berth-registry/berth/images/manifest"
)

// DockerSocket is where Docker Engine listens by default.
const DockerSocket = "/var/run/docker.sock"

// Docker is the image store of Docker Engine, either of its two.
type Docker struct {
	client http.Client
	socket string
}

// DialDocker connects to Docker Engine at a socket, at the first request. Call Close at the end.
func DialDocker(socket string) *Docker {
	return &Docker{socket: socket, client: http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{Timeout: 10 * time.Second}).DialContext(ctx, "unix", socket)
		},
	}}}
}

// Close closes idle connections.
func (d *Docker) Close() error {
	d.client.CloseIdleConnections()
	return nil
}

// Ping returns an error if Docker does not answer.
func (d *Docker) Ping(ctx context.Context) error {
	answer, err := d.do(ctx, http.MethodGet, "/_ping", nil)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return d.refused(answer)
	}
	return nil
}

// Notice says if Docker's image store does not know the images by their digests.
func (d *Docker) Notice(ctx context.Context, results []Result) string {
	name := anyByDigest(results)
	if name == "" {
		return ""
	}
	answer, err := d.do(ctx, http.MethodGet, "/images/"+name+"/json", nil)
	if err != nil {
		return ""
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusNotFound {
		return ""
	}
	return "this Docker's image store knows loaded images by tag alone: a container or pod that names a digest, as in " + name +
		", is pulled; with the containerd image store (docker info: driver-type io.containerd.snapshotter.v1) it is found"
}

func (d *Docker) do(ctx context.Context, method, path string, body io.Reader) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, method, "http://docker"+path, body)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/x-tar")
	answer, err := d.client.Do(r)
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err // its address is made up
	}
	if err != nil {
		return nil, fmt.Errorf("docker at %s: %w", d.socket, err)
	}
	return answer, nil
}

// maxAnswer limits what is read of an answer, in bytes.
const maxAnswer = 1 << 20

// Has implements [Store]. Docker's image is named by the digest of its config, or by that of its
// manifest or index if Docker uses containerd's image store.
func (d *Docker) Has(ctx context.Context, image Image, name string) (bool, error) {
	answer, err := d.do(ctx, http.MethodGet, "/images/"+name+"/json", nil)
	if err != nil {
		return false, err
	}
	defer answer.Body.Close()
	if answer.StatusCode == http.StatusNotFound {
		// Docker's own store knows no digest of an image that it has not pulled.
		return strings.Contains(name, "@") && image.Reference.Tag() != "", nil
	}
	if answer.StatusCode != http.StatusOK {
		return false, d.refused(answer)
	}
	var known struct{ ID string }
	if err := json.NewDecoder(io.LimitReader(answer.Body, maxAnswer)).Decode(&known); err != nil {
		return false, fmt.Errorf("docker at %s: the answer is not JSON", d.socket)
	}
	return known.ID == image.Config.Digest.String() || known.ID == image.Top.Desc.Digest.String(), nil
}

func (d *Docker) refused(answer *http.Response) error {
	var fault struct{ Message string }
	_ = json.NewDecoder(io.LimitReader(answer.Body, maxAnswer)).Decode(&fault)
	return fmt.Errorf("docker at %s: answers %d: %s", d.socket, answer.StatusCode, manifest.OneLine(fault.Message))
}

// Put implements [Store]. Docker reads the image as an archive, which is made while it is sent.
func (d *Docker) Put(ctx context.Context, source Source, image Image, _ []string) error {
	if image.Reference.Tag() == "" {
		return errors.New("has no tag, and docker loads no image by digest; copy it with its tag")
	}
	r, w := io.Pipe()
	written := make(chan error, 1)
	go func() {
		err := writeArchive(w, source, image)
		_ = w.CloseWithError(err) // never fails
		written <- err
	}()
	answer, err := d.do(ctx, http.MethodPost, "/images/load?quiet=1", r)
	_ = r.Close()
	if writeErr := <-written; writeErr != nil && !errors.Is(writeErr, io.ErrClosedPipe) {
		err = writeErr
	}
	if answer == nil {
		return err
	}
	defer answer.Body.Close()
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		return d.refused(answer)
	}
	for lines := json.NewDecoder(io.LimitReader(answer.Body, maxAnswer)); ; {
		var line struct{ Error string }
		switch err := lines.Decode(&line); {
		case errors.Is(err, io.EOF):
			return d.loaded(ctx, image)
		case err != nil:
			return fmt.Errorf("docker at %s: the answer is not JSON", d.socket)
		case line.Error != "":
			return fmt.Errorf("docker at %s: %s", d.socket, manifest.OneLine(line.Error))
		}
	}
}

// loaded verifies that the tag is the image: Docker answers 200 to an archive in which it has found
// nothing.
func (d *Docker) loaded(ctx context.Context, image Image) error {
	has, err := d.Has(ctx, image, image.Names()[0])
	if err == nil && !has {
		err = fmt.Errorf("docker at %s: has taken the archive and not the image", d.socket)
	}
	return err
}

// writeArchive writes an image as an OCI layout, which Docker reads with containerd's image store,
// with the manifest.json of docker save, which its own store reads.
// https://github.com/moby/docker-image-spec
func writeArchive(to io.Writer, source Source, image Image) error {
	a := archive{tar.NewWriter(to), map[v1.Hash]bool{}}
	for _, d := range append([]v1.Descriptor{image.Config}, image.Layers...) {
		if err := a.blob(source, d); err != nil {
			return err
		}
	}
	for _, m := range []manifest.Manifest{image.Manifest, image.Top} {
		if err := a.file(blobPath(m.Desc.Digest), m.Desc.Digest, m.Raw); err != nil {
			return err
		}
	}
	name := image.Names()[0]
	top := image.Top.Desc
	top.Annotations = map[string]string{"io.containerd.image.name": name, "org.opencontainers.image.ref.name": image.Reference.Tag()}
	layers := []string{}
	for _, l := range image.Layers {
		layers = append(layers, blobPath(l.Digest))
	}
	for _, f := range []struct {
		name  string
		value any
	}{
		{"oci-layout", map[string]string{"imageLayoutVersion": "1.0.0"}},
		{"index.json", v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: []v1.Descriptor{top}}},
		{"manifest.json", []map[string]any{{"Config": blobPath(image.Config.Digest), "RepoTags": []string{name}, "Layers": layers}}},
	} {
		text, err := json.Marshal(f.value)
		if err != nil {
			return err
		}
		if err := a.file(f.name, v1.Hash{}, text); err != nil {
			return err
		}
	}
	return a.tar.Close()
}

type archive struct {
	tar  *tar.Writer
	done map[v1.Hash]bool
}

func blobPath(d v1.Hash) string { return "blobs/" + d.Algorithm + "/" + d.Hex }

func (a archive) header(name string, size int64) error {
	return a.tar.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: size, Format: tar.FormatPAX})
}

// file writes a small file; digest is that of a blob, which is written once.
func (a archive) file(name string, digest v1.Hash, content []byte) error {
	if digest != (v1.Hash{}) {
		if a.done[digest] {
			return nil
		}
		a.done[digest] = true
	}
	if err := a.header(name, int64(len(content))); err != nil {
		return err
	}
	_, err := io.Copy(a.tar, bytes.NewReader(content))
	return err
}

// blob writes a blob, verified on the way.
func (a archive) blob(source Source, d v1.Descriptor) error {
	if a.done[d.Digest] {
		return nil
	}
	a.done[d.Digest] = true
	body, err := source.OpenBlob(d.Digest)
	if err != nil {
		return err
	}
	verified, err := manifest.Verified(body, d)
	if err != nil {
		return err
	}
	defer verified.Close()
	if err := a.header(blobPath(d.Digest), d.Size); err != nil {
		return err
	}
	_, err = io.Copy(a.tar, verified)
	return err
}
