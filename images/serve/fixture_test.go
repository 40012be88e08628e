package serve_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"go.uber.org/goleak"

	"github.com/berth-registry/berth/images/bundle"
	"github.com/berth-registry/berth/images/copy"
	"github.com/berth-registry/berth/images/layout"
	"github.com/berth-registry/berth/images/manifest"
	"github.com/berth-registry/berth/images/reference"
	"github.com/berth-registry/berth/images/serve"
	"github.com/berth-registry/berth/test/images/sample"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// store puts sample images of one registry into a layout.
type store struct {
	layout   *layout.Layout
	registry string
}

func digestOf(content []byte) (v1.Hash, error) { return manifest.DigestOf("sha256", content) }

// PutBlob implements sample.Store.
func (s store) PutBlob(repository string, content []byte) error {
	digest, err := digestOf(content)
	if err != nil {
		return err
	}
	_, err = s.layout.Repository(s.registry+"/"+repository).Ensure(context.Background(),
		v1.Descriptor{Digest: digest, Size: int64(len(content))}, "",
		func(context.Context) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil })
	return err
}

// PutManifest implements sample.Store.
func (s store) PutManifest(repository, tag, mediaType string, raw []byte) error {
	digest, err := digestOf(raw)
	if err != nil {
		return err
	}
	c, err := manifest.New(mediaType, digest, raw)
	if err != nil {
		return err
	}
	r := s.layout.Repository(s.registry + "/" + repository)
	if tag == "" {
		return r.Put(context.Background(), "", c)
	}
	return r.PutNamed(context.Background(), tag, c)
}

// fill adds sample images under the name of a registry to the layout in dir.
func fill(t testing.TB, dir, registry string, seed uint64, images int) *sample.Set {
	t.Helper()
	l, err := layout.Create(dir)
	if err != nil {
		t.Fatal(err)
	}
	set, err := sample.Make(store{l, registry}, sample.Options{Seed: seed, Images: images, MinLayer: 10, MaxLayer: 3000})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return set
}

// putImage adds an image with these layers.
func putImage(t testing.TB, l *layout.Layout, repository, tag string, layers ...[]byte) {
	t.Helper()
	registry, path, _ := strings.Cut(repository, "/")
	to := store{l, registry}
	m := v1.Manifest{SchemaVersion: 2, MediaType: types.OCIManifestSchema1}
	put := func(mediaType types.MediaType, content []byte) v1.Descriptor {
		digest, err := digestOf(content)
		if err == nil {
			err = to.PutBlob(path, content)
		}
		if err != nil {
			t.Fatal(err)
		}
		return v1.Descriptor{MediaType: mediaType, Digest: digest, Size: int64(len(content))}
	}
	m.Config = put(types.OCIConfigJSON, []byte(`{"architecture":"amd64","os":"linux"}`))
	for _, layer := range layers {
		m.Layers = append(m.Layers, put(types.OCILayer, layer))
	}
	raw, err := json.Marshal(m)
	if err == nil {
		err = to.PutManifest(path, tag, string(m.MediaType), raw)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// bundleOf copies the layout in dir to a file with this name.
func bundleOf(t testing.TB, dir, name string) reference.Location {
	t.Helper()
	from, err := reference.ParseLocation("oci:" + dir)
	if err != nil {
		t.Fatal(err)
	}
	to, err := reference.ParseLocation(filepath.Join(t.TempDir(), name))
	if err != nil {
		t.Fatal(err)
	}
	if results, err := (&copy.Copier{}).Copy(t.Context(), nil, from, to); err != nil || len(results) == 0 {
		t.Fatal(results, err)
	}
	return to
}

// start serves the layout in dir and returns the server and its log.
func start(t testing.TB, dir string) (*httptest.Server, *bytes.Buffer) {
	t.Helper()
	return startServer(t, &serve.Follower{
		Open: func() (serve.SourceCloser, error) { return layout.Open(dir) },
		File: filepath.Join(dir, layout.IndexFile),
	})
}

// startFile serves a file.
func startFile(t testing.TB, at reference.Location) (*httptest.Server, *bytes.Buffer) {
	t.Helper()
	return startServer(t, &serve.Follower{
		Open: func() (serve.SourceCloser, error) { return bundle.OpenLocation(at) },
		File: bundle.IndexFile(at),
	})
}

func startServer(t testing.TB, images *serve.Follower) (*httptest.Server, *bytes.Buffer) {
	t.Helper()
	var log bytes.Buffer
	s := httptest.NewUnstartedServer(nil)
	s.Config = serve.NewServer(&serve.Handler{Images: images, Log: slog.New(slog.NewTextHandler(&log, nil))}, slog.Default())
	s.Start()
	t.Cleanup(func() {
		s.Close()
		if err := images.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, &log
}

func address(s *httptest.Server) string { return strings.TrimPrefix(s.URL, "http://") }
