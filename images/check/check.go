// Package check compares images in a registry or directory with their source, or with a bundle.
//
// It only reads. Start reading at [Checker.Check] and [Checker.CheckLayout].
package check

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"github.com/berth-registry/berth/images/bundle"
	"github.com/berth-registry/berth/images/layout"
	"github.com/berth-registry/berth/images/manifest"
	"github.com/berth-registry/berth/images/reference"
	"github.com/berth-registry/berth/images/registry"
)

// Checker compares images in a registry or directory with their source. It only reads, and sends
// the source no request that counts as a pull.
type Checker struct {
	Access registry.Access
	Jobs   int           // 0: [registry.DefaultJobs]
	Wait   time.Duration // 0: [registry.DefaultWait]
	// Platforms are required of each image that has several; nil: all of its platforms.
	Platforms []manifest.Platform
	// Verify computes the digest of each blob. Without it, the size of each blob in a layout is
	// compared, and a registry is asked for manifests only.
	Verify bool
	// From is a directory or a bundle with which images are compared. The registries in their names
	// are then not asked. The zero value: those registries.
	From reference.Location
	Log  *slog.Logger
}

// Finding is the result for an image.
type Finding string

// The findings. [FoundSame], [FoundUnverified] and [FoundNeedsBase] are OK.
const (
	FoundSame        Finding = "ok"          // same as at the source
	FoundUnverified  Finding = "unverified"  // exists; the source could not be asked
	FoundNeedsBase   Finding = "needs base"  // what the bundle has of it is right; its base has the rest
	FoundMissing     Finding = "missing"     // does not exist
	FoundDifferent   Finding = "different"   // another digest
	FoundIncomplete  Finding = "incomplete"  // some required platforms are missing
	FoundUnreachable Finding = "unreachable" // the registry could not be asked
)

// OK reports whether nothing is wrong.
func (f Finding) OK() bool {
	return f == FoundSame || f == FoundUnverified || f == FoundNeedsBase
}

// Checked is the result for one image at one spot.
type Checked struct {
	Image   reference.Reference `json:"image" yaml:"image"`
	Target  string              `json:"target" yaml:"target"`
	Finding Finding             `json:"finding" yaml:"finding"`
	Digest  string              `json:"digest,omitempty" yaml:"digest,omitempty"` // at the target
	Source  string              `json:"sourceDigest,omitempty" yaml:"sourceDigest,omitempty"`
	// Platforms are those that exist, Missing are required ones that do not.
	Platforms []string `json:"platforms,omitempty" yaml:"platforms,omitempty"`
	Missing   []string `json:"missingPlatforms,omitempty" yaml:"missingPlatforms,omitempty"`
	// Note has details in one line.
	Note string `json:"note,omitempty" yaml:"note,omitempty"`

	cause string
}

// Check checks each image at its spots, without images all that From has; problems are then entries
// without a name. The result has the order of images and spots. The error is about From, or the
// cause of the end of ctx.
func (c *Checker) Check(ctx context.Context, images []reference.Reference, where func(reference.Reference) []Spot) (found []Checked, problems []error, err error) {
	k, err := c.begin()
	if err != nil {
		return nil, nil, err
	}
	if len(images) == 0 && k.from != nil {
		images, problems = k.from.References()
	}
	all := make([][]Checked, len(images))
	var g errgroup.Group
	g.SetLimit(k.client.Jobs())
	for i, image := range images {
		g.Go(func() error {
			source := k.source(ctx, image)
			for _, s := range where(image) {
				all[i] = append(all[i], k.checkSpot(ctx, image, s, source))
			}
			return nil
		})
	}
	_ = g.Wait() // each image has its own finding
	return slices.Concat(all...), problems, errors.Join(k.end(), context.Cause(ctx))
}

type run struct {
	client    *registry.Client
	access    registry.Access
	platforms []manifest.Platform
	verify    bool
	from      *layout.Layout // nil: the registries in the names of the images
	fromName  string
	// unreachable has the error of each host that no connection came about to.
	unreachable sync.Map
	// verified has the outcome for each blob of a registry whose digest was computed.
	verified sync.Map
}

func (c *Checker) begin() (*run, error) {
	k := &run{access: c.Access, platforms: c.Platforms, verify: c.Verify}
	if !c.From.IsRegistry() {
		var err error
		if k.from, err = bundle.OpenLocation(c.From); err != nil {
			return nil, err
		}
		k.fromName = c.From.String()
	}
	k.client = registry.NewClient(c.Access, c.Jobs, c.Wait, c.Log)
	return k, nil
}

func (k *run) end() error {
	k.client.Close()
	if k.from == nil {
		return nil
	}
	return k.from.Close()
}

// sourceDigest is the answer of the source.
type sourceDigest struct {
	digest v1.Hash
	err    error
	name   string // of the source, for messages
}

// source asks for the digest at the source. A digest in the name is used without asking.
func (k *run) source(ctx context.Context, image reference.Reference) sourceDigest {
	s := sourceDigest{name: "the source"}
	switch {
	case image.Digest() != "":
		s.digest, s.err = v1.NewHash(image.Digest())
	case k.from != nil:
		s.name = k.fromName
		s.digest, s.err = k.from.Repository(image.Name()).Digest(ctx, image.Tag())
	default:
		s.digest, s.err = k.registryDigest(ctx, image)
	}
	return s
}

// registryDigest asks the registry in the name of an image.
func (k *run) registryDigest(ctx context.Context, image reference.Reference) (v1.Hash, error) {
	host := image.Registry()
	if err, ok := k.unreachable.Load(host); ok {
		return v1.Hash{}, err.(error)
	}
	reg, err := k.client.At(host, image.Repository())
	if err != nil {
		return v1.Hash{}, err
	}
	d, err := reg.Repository(image.Repository(), false).Digest(ctx, image.Tag())
	if registry.IsDialError(err) {
		// Behind an air gap, hundreds of images would each be retried.
		k.unreachable.Store(host, err)
	}
	return d, err
}

// checkSpot checks one image at one spot.
func (k *run) checkSpot(ctx context.Context, image reference.Reference, s Spot, source sourceDigest) Checked {
	found := Checked{Image: image, Target: s.String() + image.Suffix()}
	if source.err == nil {
		found.Source = source.digest.String()
	}
	if s.Itself && k.from == nil && source.err == nil && image.Digest() == "" && k.platforms == nil && !k.verify {
		found.Digest, found.Finding = found.Source, FoundSame
		return found
	}
	settings := k.access.SettingsFor(s.Host, s.Repository)
	settings.PlainHTTP = settings.PlainHTTP || s.PlainHTTP
	root := s.Root
	if root == "" {
		root = "/v2"
	}
	reg, err := k.client.Under(s.Host, root, s.Header, settings)
	if err != nil {
		return found.with(FoundUnreachable, err)
	}
	repo := reg.Repository(s.Repository, false)
	repo.Upstream = s.Upstream
	ref := image.Tag()
	if image.Digest() != "" {
		ref = image.Digest()
	}
	have, err := repo.Manifest(ctx, ref)
	switch {
	case errors.Is(err, manifest.ErrNotFound):
		if errors.Is(source.err, manifest.ErrNotFound) {
			return found.with(FoundMissing, fmt.Errorf("%s has no such image either", source.name))
		}
		return found.with(FoundMissing, nil)
	case err != nil:
		return found.with(FoundUnreachable, err)
	}
	if found, same := found.compare(have, source, k.platforms == nil); !same {
		return found
	}
	found.Digest = have.Desc.Digest.String()
	if k.verify {
		w := &completeness{k: k, store: repositoryStore{k, repo, s.Host}, repo: repo, seen: map[v1.Hash]bool{}}
		return w.check(ctx, have, found).same(source)
	}
	if err := k.comparePlatforms(ctx, repo, have, &found); err != nil {
		return found.with(FoundUnreachable, err)
	}
	return found.complete().same(source)
}

// complete is the finding of an image that lacks required platforms.
func (c Checked) complete() Checked {
	if len(c.Missing) > 0 {
		return c.with(FoundIncomplete, fmt.Errorf("without %s", strings.Join(c.Missing, ", ")))
	}
	return c
}

// compare compares with the digest of the source, if there is one. It returns false if they differ.
func (c Checked) compare(have manifest.Manifest, source sourceDigest, wantsAll bool) (Checked, bool) {
	c.Digest = have.Desc.Digest.String()
	if source.err == nil && manifest.ReducedFrom(have) == source.digest.String() {
		if wantsAll {
			return c.with(FoundIncomplete, errors.New("its index is reduced to some platforms; name the wanted ones with --platform")), false
		}
		return c, true
	}
	if source.err == nil && source.digest != have.Desc.Digest {
		return c.with(FoundDifferent, fmt.Errorf("it is %s, and %s at %s", manifest.Short(have.Desc.Digest), manifest.Short(source.digest), source.name)), false
	}
	return c, true
}

// same is the finding of an image of which nothing is wrong.
func (c Checked) same(source sourceDigest) Checked {
	switch {
	case c.Finding != "":
		return c
	case errors.Is(source.err, manifest.ErrNotFound):
		return c.with(FoundUnverified, fmt.Errorf("%s does not have the image", source.name))
	case source.err != nil:
		return c.with(FoundUnverified, fmt.Errorf("the source could not be asked: %w", source.err))
	}
	return c.with(FoundSame, nil)
}

func (c Checked) with(f Finding, note error) Checked {
	c.Finding = f
	if note != nil {
		c.Note, c.cause = manifest.OneLine(note.Error()), registry.Cause(note)
	}
	return c
}

// platformSource is a repository whose platforms are checked.
type platformSource interface {
	manifest.BlobSource
	Digest(ctx context.Context, ref string) (v1.Hash, error)
}

// comparePlatforms finds which platforms exist, with a request for the manifest of each.
func (k *run) comparePlatforms(ctx context.Context, repo platformSource, have manifest.Manifest, found *Checked) error {
	if !have.Desc.MediaType.IsIndex() {
		return k.onePlatform(ctx, repo, have, found)
	}
	index, err := manifest.ReadIndex(have)
	if err != nil {
		return err
	}
	wanted := map[int]bool{} // indexes of k.platforms that are in the index
	for _, d := range index.Manifests {
		p := manifest.PlatformOf(d.Platform)
		if i := slices.IndexFunc(k.platforms, p.Matches); i >= 0 {
			wanted[i] = true
		} else if k.platforms != nil {
			continue
		}
		_, err := repo.Digest(ctx, d.Digest.String())
		switch {
		case errors.Is(err, manifest.ErrNotFound):
			found.Missing = append(found.Missing, p.NameOr(d.Digest))
		case err != nil:
			return err
		default:
			found.Platforms = append(found.Platforms, p.NameOr(d.Digest))
		}
	}
	for i, p := range k.platforms {
		if !wanted[i] {
			found.Missing = append(found.Missing, p.String())
		}
	}
	return nil
}

// onePlatform reads the platform of an image from its config, if platforms are required.
func (k *run) onePlatform(ctx context.Context, repo platformSource, have manifest.Manifest, found *Checked) error {
	if k.platforms == nil {
		return nil
	}
	is, err := manifest.ConfigPlatform(ctx, repo, have)
	if err != nil {
		return err
	}
	for _, p := range k.platforms {
		if is.Matches(p) {
			found.Platforms = append(found.Platforms, p.String())
		} else {
			found.Missing = append(found.Missing, p.String())
		}
	}
	return nil
}

// Cause is the same for images with one reason for their finding; "" if there is none.
func (c Checked) Cause() string { return c.cause }
