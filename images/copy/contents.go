package copy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/berth-registry/berth/images/reference"
)

// Contents is what a set of images consists of.
type Contents struct {
	Name   string // of the set, for messages
	images map[reference.Reference]v1.Hash
	// sizes has each blob and manifest, in bytes; repositories those that have it, with their
	// registries.
	sizes        map[v1.Hash]int64
	repositories map[v1.Hash][]string
	tasks        []*task // sorted by name
}

// Contents reads which blobs and manifests images consist of, from the registries in their names or
// from a layout; from a layout without images all that it has. It reads no blobs. The error names
// each image that cannot be read.
func (c *Copier) Contents(ctx context.Context, name string, images []reference.Reference, from reference.Location) (*Contents, error) {
	r, err := c.open(from)
	if err != nil {
		return nil, err
	}
	problems := r.resolveImages(ctx, images)
	all := &Contents{Name: name, images: map[reference.Reference]v1.Hash{}, sizes: map[v1.Hash]int64{}, repositories: map[v1.Hash][]string{}}
	for _, t := range r.tasks {
		if t.err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", t.result.Image, t.err))
			continue
		}
		all.add(t)
	}
	if err := errors.Join(errors.Join(problems...), r.end(), context.Cause(ctx)); err != nil {
		return nil, err
	}
	slices.SortFunc(all.tasks, func(a, b *task) int { return cmp.Compare(a.result.Target, b.result.Target) })
	for _, repositories := range all.repositories {
		slices.Sort(repositories)
	}
	return all, nil
}

func (c *Contents) add(t *task) {
	c.images[t.result.Image] = t.main.part.content.Desc.Digest
	c.tasks = append(c.tasks, t)
	t.walk(func(p *part) {
		for _, d := range append([]v1.Descriptor{p.content.Desc}, p.blobs...) {
			c.sizes[d.Digest] = d.Size
			if !slices.Contains(c.repositories[d.Digest], p.pair.name) {
				c.repositories[d.Digest] = append(c.repositories[d.Digest], p.pair.name)
			}
		}
	})
}

// Difference is an image of one set of which another one does not have all.
type Difference struct {
	Image  reference.Reference `json:"image" yaml:"image"`
	Change Change              `json:"change" yaml:"change"`
	Digest string              `json:"digest" yaml:"digest"`
	// Bytes are those of the image that the other set does not have, and no image before this one.
	Bytes int64 `json:"bytes" yaml:"bytes"`
}

// Change says what the other set lacks.
type Change string

// The values of Change.
const (
	ChangeNew      Change = "new"      // the image
	ChangeMoved    Change = "changed"  // it has the image with another digest
	ChangeAttached Change = "attached" // signatures or other referrers of it
)

// Beyond returns what c has and other does not have, sorted by image.
func (c *Contents) Beyond(other *Contents) []Difference {
	all := []Difference{}
	counted := map[v1.Hash]bool{}
	for _, t := range c.tasks {
		digest := t.main.part.content.Desc.Digest
		d := Difference{Image: t.result.Image, Digest: digest.String(), Change: ChangeNew}
		t.walk(func(p *part) {
			for _, b := range append([]v1.Descriptor{p.content.Desc}, p.blobs...) {
				if _, has := other.sizes[b.Digest]; !has && !counted[b.Digest] {
					counted[b.Digest] = true
					d.Bytes += b.Size
				}
			}
		})
		if before, there := other.images[d.Image]; there && before != digest {
			d.Change = ChangeMoved
		} else if there && d.Bytes == 0 {
			continue
		} else if there {
			d.Change = ChangeAttached
		}
		all = append(all, d)
	}
	return all
}
