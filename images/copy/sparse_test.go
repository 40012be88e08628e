package copy_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	corecontent "github.com/containerd/containerd/v2/core/content"
	coreimages "github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/platforms"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/berth-registry/berth/images/check"
	"github.com/berth-registry/berth/images/copy"
	"github.com/berth-registry/berth/images/internal/imagestest"
	"github.com/berth-registry/berth/images/layout"
	"github.com/berth-registry/berth/images/manifest"
	"github.com/berth-registry/berth/images/reference"
	"github.com/berth-registry/berth/test/fakes/fakeregistry"
	"github.com/berth-registry/berth/test/images/sample"
)

// fetched lets containerd's handlers read through its fetcher.
type fetched struct{ remotes.Fetcher }

// ReaderAt implements content.Provider.
func (f fetched) ReaderAt(ctx context.Context, d ocispec.Descriptor) (corecontent.ReaderAt, error) {
	body, err := f.Fetch(ctx, d)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	raw, err := io.ReadAll(body)
	return inMemory{bytes.NewReader(raw)}, err
}

type inMemory struct{ *bytes.Reader }

func (inMemory) Close() error { return nil }

// pulls fetches what containerd's client would fetch for a platform, with its resolver, fetcher and
// choice of manifests.
func pulls(t *testing.T, host, ref, platform string) error {
	t.Helper()
	p, err := platforms.Parse(platform)
	if err != nil {
		t.Fatal(err)
	}
	resolver := docker.NewResolver(docker.ResolverOptions{Hosts: docker.ConfigureDefaultRegistries(docker.WithPlainHTTP(docker.MatchLocalhost))})
	full := host + "/" + ref
	_, desc, err := resolver.Resolve(t.Context(), full)
	if err != nil {
		return err
	}
	fetcher, err := resolver.Fetcher(t.Context(), full)
	if err != nil {
		return err
	}
	from, blobs := fetched{fetcher}, 0
	fetch := coreimages.HandlerFunc(func(ctx context.Context, d ocispec.Descriptor) ([]ocispec.Descriptor, error) {
		if !coreimages.IsIndexType(d.MediaType) && !coreimages.IsManifestType(d.MediaType) {
			blobs++
		}
		_, err := from.ReaderAt(ctx, d)
		return nil, err
	})
	children := coreimages.LimitManifests(coreimages.FilterPlatforms(coreimages.ChildrenHandler(from), platforms.Only(p)), platforms.Only(p), 1)
	if err := coreimages.Walk(t.Context(), coreimages.Handlers(fetch, children), desc); err != nil {
		return err
	}
	if blobs < 2 {
		return fmt.Errorf("%d blobs, which is no image", blobs)
	}
	return nil
}

// craneTakes gets an image for a platform as crane pull does, and the whole index as crane copy and
// crane validate do.
func craneTakes(t *testing.T, host, ref, platform string) (image, whole error) {
	t.Helper()
	parsed, err := name.ParseReference(host+"/"+ref, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	p, err := v1.ParsePlatform(platform)
	if err != nil {
		t.Fatal(err)
	}
	img, image := remote.Image(parsed, remote.WithPlatform(*p))
	if image == nil {
		image = readAll(img)
	}
	index, err := remote.Index(parsed)
	if err != nil {
		return image, err
	}
	list, err := index.IndexManifest()
	if err != nil {
		return image, err
	}
	for _, d := range list.Manifests {
		img, err := index.Image(d.Digest)
		if err == nil {
			err = readAll(img)
		}
		if err != nil {
			return image, err
		}
	}
	return image, nil
}

func readAll(img v1.Image) error {
	layers, err := img.Layers()
	if err != nil {
		return err
	}
	for _, l := range layers {
		body, err := l.Compressed()
		if err != nil {
			return err
		}
		if _, err := io.Copy(io.Discard, body); err != nil {
			return err
		}
		if err := body.Close(); err != nil {
			return err
		}
	}
	_, err = img.RawConfigFile()
	return err
}

// serveLayout puts the content of a directory into a registry that verifies nothing: an incomplete
// index stays as it is.
func serveLayout(t *testing.T, dir string, s *fakeregistry.Server) {
	t.Helper()
	l, err := layout.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	images, problems := l.References()
	if problems != nil {
		t.Fatal(problems)
	}
	for _, image := range images {
		entries, err := os.ReadDir(dir + "/blobs/sha256")
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			raw, err := os.ReadFile(dir + "/blobs/sha256/" + e.Name())
			if err != nil {
				t.Fatal(err)
			}
			s.PutBlob(image.Repository(), raw)
			var m struct {
				MediaType string `json:"mediaType"`
			}
			if json.Unmarshal(raw, &m) == nil && m.MediaType != "" {
				s.PutManifest(image.Repository(), "", m.MediaType, raw)
			}
		}
		c, err := l.Repository(image.Name()).Manifest(t.Context(), image.Tag())
		if err != nil {
			t.Fatal(err)
		}
		s.PutManifest(image.Repository(), image.Tag(), string(c.Desc.MediaType), c.Raw)
	}
}

// anIndex is an image for six platforms on a registry, OCI or Docker.
func anIndex(t *testing.T, docker bool) (*fakeregistry.Server, reference.Reference) {
	t.Helper()
	source := imagestest.StartRegistry(t, fakeregistry.Options{})
	set, images := imagestest.Fill(t, source, sample.Options{Seed: 91, Images: 8})
	for i, image := range set.Images {
		isDocker := strings.Contains(string(source.Manifest(image.Repository, image.Tag)), sample.DockerList)
		if image.Shape == "index" && isDocker == docker {
			return source, images[i]
		}
	}
	t.Fatal("no index")
	return nil, reference.Reference{}
}

// How containerd and crane handle an incomplete index, and a reduced one;
// docs/adr/0019-platforms.md relies on it.
func TestSparseIndex(t *testing.T) {
	for _, docker := range []bool{false, true} {
		for _, reduced := range []bool{false, true} {
			source, image := anIndex(t, docker)
			dir := t.TempDir()
			c := &copy.Copier{Platforms: []manifest.Platform{{OS: "linux", Architecture: "arm64"}}, ReduceIndex: reduced}
			r := copyImages(t, c, []reference.Reference{image}, "", "oci:"+dir)[0]
			if r.Status != copy.StatusCopied || r.Reduced != reduced || len(r.Left) != 5 || r.Missing != nil {
				t.Fatalf("%+v", r)
			}
			same := r.Digest == digestOfManifest(t, source, image)
			if same == reduced {
				t.Errorf("reduced %v: the digest is the same: %v", reduced, same)
			}
			s := imagestest.StartRegistry(t, fakeregistry.Options{})
			serveLayout(t, dir, s)
			ref := image.Repository() + ":" + image.Tag()
			if err := pulls(t, s.Addr(), ref, "linux/arm64"); err != nil {
				t.Errorf("docker %v, reduced %v: containerd: %v", docker, reduced, err)
			}
			if err := pulls(t, s.Addr(), ref, "linux/amd64"); err == nil {
				t.Errorf("docker %v, reduced %v: containerd pulls a platform that is not there", docker, reduced)
			}
			one, whole := craneTakes(t, s.Addr(), ref, "linux/arm64")
			if one != nil {
				t.Errorf("docker %v, reduced %v: crane: %v", docker, reduced, one)
			}
			if (whole == nil) != reduced {
				t.Errorf("docker %v, reduced %v: crane takes the index: %v", docker, reduced, whole)
			}

			// A registry that checks the manifests of an index accepts only the reduced one, which
			// can be made from the directory.
			strict := imagestest.StartRegistry(t, fakeregistry.Options{})
			r = copyImages(t, &copy.Copier{}, nil, "oci:"+dir, strict.Addr())[0]
			if refused := r.Status == copy.StatusFailed; refused == reduced {
				t.Errorf("docker %v, reduced %v: %s %s", docker, reduced, r.Status, r.Error)
			} else if refused && !strings.Contains(r.Error, "add --reduce-index") {
				t.Errorf("%q", r.Error)
			}
			wantStatus(t, copyImages(t, &copy.Copier{ReduceIndex: true}, nil, "oci:"+dir, strict.Addr()+"/again"), copy.StatusCopied)
			if err := pulls(t, strict.Addr(), "again/"+ref, "linux/arm64"); err != nil {
				t.Errorf("docker %v, reduced %v: containerd: %v", docker, reduced, err)
			}
		}
	}
}

func digestOfManifest(t *testing.T, s *fakeregistry.Server, image reference.Reference) string {
	t.Helper()
	d, err := manifest.DigestOf("sha256", s.Manifest(image.Repository(), image.Tag()))
	if err != nil {
		t.Fatal(err)
	}
	return d.String()
}

// Platforms are added one after another, with their attestations, until the index is complete.
func TestCopyPlatforms(t *testing.T) {
	source, image := anIndex(t, false)
	amd, arm := manifest.Platform{OS: "linux", Architecture: "amd64"}, manifest.Platform{OS: "linux", Architecture: "arm"}
	dir := "oci:" + t.TempDir()
	images := []reference.Reference{image}
	wantFinding := func(want check.Finding, platforms ...manifest.Platform) check.Checked {
		t.Helper()
		found, problems, err := (&check.Checker{Platforms: platforms, Verify: true}).CheckLayout(t.Context(), nil, location(t, dir))
		if err != nil || problems != nil || len(found) != 1 || found[0].Finding != want {
			t.Fatalf("%+v %v %v, want %s", found, problems, err, want)
		}
		return found[0]
	}
	held := func() string {
		return indexIn(t, location(t, dir).Layout()).Manifests[0].Annotations[manifest.AnnotationPlatforms]
	}
	wantStatus(t, copyImages(t, &copy.Copier{Platforms: []manifest.Platform{amd}}, images, "", dir), copy.StatusCopied)
	if got := held(); got != "linux/amd64" {
		t.Errorf("holds %q", got)
	}
	wantFinding(check.FoundSame, amd)
	if found := wantFinding(check.FoundIncomplete); len(found.Missing) != 5 {
		t.Errorf("missing: %q", found.Missing) // the attestation of amd64 is there
	}
	wantFinding(check.FoundIncomplete, amd, arm)

	// A missing platform of a layout is missing for a copy from it; platforms that it has are
	// copied.
	r := copyImages(t, &copy.Copier{Platforms: []manifest.Platform{arm}}, nil, dir, "oci:"+t.TempDir())[0]
	if r.Status != copy.StatusFailed || !strings.Contains(r.Error, "has none of the wanted platforms") {
		t.Errorf("%+v", r)
	}
	r = copyImages(t, &copy.Copier{Platforms: []manifest.Platform{amd, arm}}, nil, dir, "oci:"+t.TempDir())[0]
	if r.Status != copy.StatusCopied || len(r.Missing) != 1 || r.Missing[0] != "linux/arm" {
		t.Errorf("%+v", r)
	}

	wantStatus(t, copyImages(t, &copy.Copier{Platforms: []manifest.Platform{amd}}, images, "", dir), copy.StatusPresent)
	wantStatus(t, copyImages(t, &copy.Copier{Platforms: []manifest.Platform{arm}}, images, "", dir), copy.StatusCopied)
	if got := held(); got != "linux/amd64,linux/arm/v7" {
		t.Errorf("holds %q", got)
	}
	wantFinding(check.FoundSame, amd, arm)
	wantStatus(t, copyImages(t, &copy.Copier{}, images, "", dir), copy.StatusCopied)
	if got := held(); got != "" {
		t.Errorf("holds %q", got)
	}
	wantFinding(check.FoundSame)
	target := imagestest.StartRegistry(t, fakeregistry.Options{})
	wantStatus(t, copyImages(t, &copy.Copier{}, nil, dir, target.Addr()), copy.StatusCopied)
	if string(target.Manifest(image.Repository(), image.Tag())) != string(source.Manifest(image.Repository(), image.Tag())) {
		t.Error("the index is another one")
	}

	// An index by digest cannot be reduced.
	byDigest := imagestest.MustParse(t, image.Name()+"@"+digestOfManifest(t, source, image))
	r = copyImages(t, &copy.Copier{Platforms: []manifest.Platform{amd}, ReduceIndex: true}, []reference.Reference{byDigest}, "", target.Addr()+"/reduced")[0]
	if r.Status != copy.StatusFailed || !strings.Contains(r.Error, "named by the digest of the whole index") {
		t.Errorf("%+v", r)
	}
	// Reducing twice gives the same digest: nothing is sent.
	reduce := &copy.Copier{Platforms: []manifest.Platform{amd}, ReduceIndex: true}
	wantStatus(t, copyImages(t, reduce, images, "", target.Addr()+"/reduced"), copy.StatusCopied)
	target.Forget()
	wantStatus(t, copyImages(t, reduce, images, "", target.Addr()+"/reduced"), copy.StatusPresent)
	if n := sent(target); n > 0 || target.Count(http.MethodPut, "/") > 0 {
		t.Errorf("%d things were sent", n)
	}
}
