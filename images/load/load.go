package load

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"

	"github.com/containerd/platforms"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/berth-registry/berth/images/manifest"
	"github.com/berth-registry/berth/images/reference"
)

// Source is a set of images.
type Source interface {
	// Named returns the complete references with a tag or a digest, and what they name.
	Named() map[string]v1.Descriptor
	// Manifest returns verified content; the error is manifest.ErrNotFound for an unknown digest.
	Manifest(v1.Hash) (manifest.Manifest, error)
	// OpenBlob opens content; the error is manifest.ErrNotFound for an unknown digest.
	OpenBlob(v1.Hash) (io.ReadSeekCloser, error)
}

// Store is the image store of a runtime.
type Store interface {
	// Put stores an image and its content, and then gives it these names.
	Put(ctx context.Context, source Source, image Image, names []string) error
	// Has reports whether a name stands for this digest and is complete.
	Has(ctx context.Context, image Image, name string) (bool, error)
}

// Image is what is loaded of one reference: a manifest for this node's platform, and the index that
// lists it.
type Image struct {
	Reference reference.Reference
	// Top is what the reference names: an index, or the manifest itself.
	Top manifest.Manifest
	// Index is true if Top is an index.
	Index bool
	// Manifest, Config and Layers are for this node's platform.
	Manifest manifest.Manifest
	Config   v1.Descriptor
	Layers   []v1.Descriptor
	// DiffIDs are the digests of the uncompressed layers, as the config lists them.
	DiffIDs []string
}

// Names returns the names under which a runtime is asked for the image: kubelet asks for the tag,
// or for the digest if the pod names one, with or without a tag.
func (i Image) Names() []string {
	byDigest := i.Reference.Name() + "@" + i.Top.Desc.Digest.String()
	if i.Reference.Tag() == "" {
		return []string{byDigest}
	}
	return []string{i.Reference.Name() + ":" + i.Reference.Tag(), byDigest}
}

// Status is the result for one image.
type Status string

// The values of Status.
const (
	Loaded  Status = "loaded"
	Present Status = "present" // it was there already
	Failed  Status = "failed"
)

// Result is the result for one reference. Err is nil unless the status is Failed.
type Result struct {
	Reference reference.Reference
	Status    Status
	Digest    v1.Hash
	Err       error
}

// anyByDigest is the name by digest of an image that is there, "" if none is.
func anyByDigest(results []Result) string {
	for _, r := range results {
		if r.Status != Failed {
			return r.Reference.Name() + "@" + r.Digest.String()
		}
	}
	return ""
}

// Loader puts images into a store.
type Loader struct {
	Store Store
	// Platform chooses among the manifests of an index; nil is the platform of this machine.
	Platform platforms.MatchComparer
	Log      *slog.Logger
}

// Load loads references, one after the other: unpacking is limited by the disk. An image that fails
// does not stop the others; the end of ctx does.
func (l *Loader) Load(ctx context.Context, source Source, references []reference.Reference) []Result {
	if l.Platform == nil {
		l.Platform = platforms.Default()
	}
	named := source.Named()
	var results []Result
	for _, r := range references {
		if ctx.Err() != nil {
			break
		}
		result := l.one(ctx, source, named, r)
		result.Reference = r
		attrs := []any{"image", r.String(), "status", result.Status, "digest", result.Digest.String()}
		if result.Err != nil {
			l.Log.ErrorContext(ctx, "image", append(attrs, "error", result.Err)...)
		} else {
			l.Log.InfoContext(ctx, "image", attrs...)
		}
		results = append(results, result)
	}
	return results
}

func (l *Loader) one(ctx context.Context, source Source, named map[string]v1.Descriptor, r reference.Reference) Result {
	d, ok := named[r.String()]
	if !ok {
		return Result{Status: Failed, Err: manifest.ErrNotFound}
	}
	image, err := l.read(source, r, d)
	if err != nil {
		return Result{Status: Failed, Digest: d.Digest, Err: err}
	}
	missing := []string{}
	for _, name := range image.Names() {
		has, err := l.Store.Has(ctx, image, name)
		if err != nil {
			return Result{Status: Failed, Digest: d.Digest, Err: err}
		}
		if !has {
			missing = append(missing, name)
		}
	}
	if len(missing) == 0 {
		return Result{Status: Present, Digest: d.Digest}
	}
	if err := l.Store.Put(ctx, source, image, missing); err != nil {
		return Result{Status: Failed, Digest: d.Digest, Err: err}
	}
	return Result{Status: Loaded, Digest: d.Digest}
}

// read finds the parts of an image for this node.
func (l *Loader) read(source Source, r reference.Reference, d v1.Descriptor) (Image, error) {
	image := Image{Reference: r}
	var err error
	if image.Top, err = source.Manifest(d.Digest); err != nil {
		return image, err
	}
	image.Manifest = image.Top
	if image.Index = image.Top.Desc.MediaType.IsIndex(); image.Index {
		if image.Manifest, err = l.choose(source, image.Top); err != nil {
			return image, err
		}
	}
	var m v1.Manifest
	if err := json.Unmarshal(image.Manifest.Raw, &m); err != nil {
		return image, fmt.Errorf("manifest %s: %s", manifest.Short(image.Manifest.Desc.Digest), manifest.OneLine(err.Error()))
	}
	image.Config, image.Layers = m.Config, m.Layers
	return image, l.readConfig(source, &image)
}

// choose returns the manifest of an index that a runtime on this platform uses.
func (l *Loader) choose(source Source, top manifest.Manifest) (manifest.Manifest, error) {
	index, err := manifest.ReadIndex(top)
	if err != nil {
		return manifest.Manifest{}, err
	}
	fits := slices.DeleteFunc(slices.Clone(index.Manifests), func(d v1.Descriptor) bool {
		return d.Platform == nil || !l.Platform.Match(platformOf(d.Platform))
	})
	if len(fits) == 0 {
		return manifest.Manifest{}, errors.New("has no manifest for this platform; copy the image with the node's --platform")
	}
	slices.SortStableFunc(fits, func(a, b v1.Descriptor) int {
		switch pa, pb := platformOf(a.Platform), platformOf(b.Platform); {
		case l.Platform.Less(pa, pb):
			return -1
		case l.Platform.Less(pb, pa):
			return 1
		}
		return 0
	})
	c, err := source.Manifest(fits[0].Digest)
	if errors.Is(err, manifest.ErrNotFound) {
		return c, fmt.Errorf("its manifest for %s was not copied; copy the image with this --platform", manifest.PlatformOf(fits[0].Platform))
	}
	return c, err
}

func platformOf(p *v1.Platform) ocispec.Platform {
	return platforms.Normalize(ocispec.Platform{OS: p.OS, Architecture: p.Architecture, Variant: p.Variant, OSVersion: p.OSVersion})
}

// readConfig reads the config of an image: its platform, and what its layers unpack to.
func (l *Loader) readConfig(source Source, image *Image) error {
	if image.Config.Size > manifest.MaxSize {
		return fmt.Errorf("its config has %d bytes, more than the %d that are read", image.Config.Size, manifest.MaxSize)
	}
	body, err := source.OpenBlob(image.Config.Digest)
	if err != nil {
		return err
	}
	verified, err := manifest.Verified(body, image.Config)
	if err != nil {
		return err
	}
	defer verified.Close()
	raw, err := io.ReadAll(verified)
	if err != nil {
		return err
	}
	var config ocispec.Image
	if err := json.Unmarshal(raw, &config); err != nil {
		return fmt.Errorf("config %s: %s", manifest.Short(image.Config.Digest), manifest.OneLine(err.Error()))
	}
	if config.RootFS.Type != "layers" || len(config.RootFS.DiffIDs) != len(image.Layers) {
		return errors.New("is not an image that a container runs: its config does not list its layers")
	}
	if !l.Platform.Match(platforms.Normalize(config.Platform)) {
		return fmt.Errorf("is for %s; this node cannot run it", platforms.Format(config.Platform))
	}
	for _, d := range config.RootFS.DiffIDs {
		image.DiffIDs = append(image.DiffIDs, d.String())
	}
	return nil
}
