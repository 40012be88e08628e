// Package sample makes sets of images in mixed shapes, equal for equal seeds: single images,
// indexes of six platforms with attestations, images with signatures and other artifacts that refer
// to them, and images that share layers. It knows the content that a copy must have, and does not
// depend on registries.
//
// Start with [Make].
package sample

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
)

// The media types that are used.
const (
	OCIManifest    = "application/vnd.oci.image.manifest.v1+json"
	OCIIndex       = "application/vnd.oci.image.index.v1+json"
	DockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	DockerList     = "application/vnd.docker.distribution.manifest.list.v2+json"
	ociConfig      = "application/vnd.oci.image.config.v1+json"
	ociLayer       = "application/vnd.oci.image.layer.v1.tar+gzip"
	dockerConfig   = "application/vnd.docker.container.image.v1+json"
	dockerLayer    = "application/vnd.docker.image.rootfs.diff.tar.gzip"
)

// Store receives a set. Blobs come before the manifests that name them, and manifests before the
// indexes that do. tag is "" if there is none.
type Store interface {
	PutBlob(repository string, content []byte) error
	PutManifest(repository, tag, mediaType string, raw []byte) error
}

// Options choose the size of a set.
type Options struct {
	Seed   uint64
	Images int
	// Layers have a size from MinLayer to MaxLayer, in bytes; most are small.
	MinLayer, MaxLayer int
	// SharedBy is the number of images with the same base layers. Default 40.
	SharedBy int
	// API omits the tags that list referrers, which replace the referrers API.
	API bool
}

// Image is one image of a set.
type Image struct {
	Repository, Tag string
	Digest          string
	Shape           string // single, index, signed or shared
}

// Set is a set with its tags, also those of signatures.
type Set struct {
	Images []Image
	Tags   []Tag
	// Manifests and Blobs list the content of each repository; Bytes counts each blob once.
	Manifests, Blobs map[string]map[string]bool // digests by repository
	Unique           map[string]int64           // size by digest
}

// Tag is a tag and what it names.
type Tag struct{ Repository, Tag, Digest string }

// Bytes returns the size of all blobs, each counted once.
func (s *Set) Bytes() int64 {
	var n int64
	for _, size := range s.Unique {
		n += size
	}
	return n
}

// Make makes a set and puts it into a store.
func Make(store Store, o Options) (*Set, error) {
	if o.SharedBy == 0 {
		o.SharedBy = 40
	}
	zip, err := gzip.NewWriterLevel(nil, gzip.NoCompression)
	if err != nil {
		return nil, err
	}
	m := &maker{
		store: store, o: o, zip: zip,
		set: &Set{Manifests: map[string]map[string]bool{}, Blobs: map[string]map[string]bool{}, Unique: map[string]int64{}},
	}
	for i := range o.Images {
		if err := m.image(i); err != nil {
			return nil, err
		}
	}
	return m.set, nil
}

type maker struct {
	store Store
	o     Options
	set   *Set
	// zip is used for all layers, because a new one takes a megabyte.
	zip *gzip.Writer
}

// descriptor has the fields of the specification that are used.
type descriptor struct {
	MediaType    string            `json:"mediaType"`
	Digest       string            `json:"digest"`
	Size         int               `json:"size"`
	Platform     *platform         `json:"platform,omitempty"`
	Annotations  map[string]string `json:"annotations,omitempty"`
	ArtifactType string            `json:"artifactType,omitempty"`
}

type platform struct {
	Architecture string `json:"architecture"`
	OS           string `json:"os"`
	Variant      string `json:"variant,omitempty"`
}

type document struct {
	SchemaVersion int               `json:"schemaVersion"`
	MediaType     string            `json:"mediaType"`
	ArtifactType  string            `json:"artifactType,omitempty"`
	Config        *descriptor       `json:"config,omitempty"`
	Layers        []descriptor      `json:"layers,omitempty"`
	Manifests     []descriptor      `json:"manifests,omitempty"`
	Subject       *descriptor       `json:"subject,omitempty"`
	Annotations   map[string]string `json:"annotations,omitempty"`
}

// image makes image i, by its number: of ten images four are single, three are indexes, one is
// signed, two share layers.
func (m *maker) image(i int) error {
	rnd := rand.New(rand.NewPCG(m.o.Seed, uint64(i)))
	n := i
	if i%5 == 4 {
		n-- // a second tag in the repository
	}
	repository := fmt.Sprintf("team%d/app%d", n%7, n)
	tag := fmt.Sprintf("v%d.%d", 1+i%3, i)
	switch i % 10 {
	case 0, 3, 6, 8:
		top, err := m.single(rnd, repository, tag, platform{"amd64", "linux", ""}, nil, i%20 == 3)
		return m.done(err, repository, tag, top, "single")
	case 1, 4, 7:
		top, err := m.index(rnd, repository, tag, i%20 == 7)
		return m.done(err, repository, tag, top, "index")
	case 2:
		top, err := m.index(rnd, repository, tag, false)
		if err == nil {
			err = m.attach(rnd, repository, top)
		}
		return m.done(err, repository, tag, top, "signed")
	}
	base := i / (5 * m.o.SharedBy) // two of ten share
	top, err := m.single(rnd, repository, tag, platform{"amd64", "linux", ""}, &base, false)
	return m.done(err, repository, tag, top, "shared")
}

func (m *maker) done(err error, repository, tag string, top descriptor, shape string) error {
	if err == nil {
		m.set.Images = append(m.set.Images, Image{repository, tag, top.Digest, shape})
	}
	return err
}

// layer makes a new layer.
func (m *maker) layer(rnd *rand.Rand, repository, mediaType string) (descriptor, error) {
	// Nine of ten are small, as in real images.
	limit := m.o.MaxLayer
	if rnd.IntN(10) > 0 {
		limit = m.o.MinLayer + (m.o.MaxLayer-m.o.MinLayer)/16
	}
	content, err := m.zipped(random(rnd, m.o.MinLayer+rnd.IntN(limit-m.o.MinLayer+1)))
	if err != nil {
		return descriptor{}, err
	}
	return m.blob(repository, mediaType, content)
}

// zipped returns content as gzip, like real layers: some programs compress a layer that is not.
func (m *maker) zipped(content []byte) ([]byte, error) {
	var b bytes.Buffer
	m.zip.Reset(&b)
	_, err := m.zip.Write(content)
	err = errors.Join(err, m.zip.Close())
	return b.Bytes(), err
}

func random(rnd *rand.Rand, n int) []byte {
	var seed [32]byte
	for i := range seed {
		seed[i] = byte(rnd.Uint32())
	}
	content := make([]byte, n)
	// Read of a ChaCha8 never fails.
	_, _ = rand.NewChaCha8(seed).Read(content)
	return content
}

func (m *maker) blob(repository, mediaType string, content []byte) (descriptor, error) {
	d := descriptor{MediaType: mediaType, Digest: digestOf(content), Size: len(content)}
	have := m.set.Blobs[repository]
	if have == nil {
		have = map[string]bool{}
		m.set.Blobs[repository] = have
	}
	if have[d.Digest] {
		return d, nil
	}
	have[d.Digest] = true
	m.set.Unique[d.Digest] = int64(len(content))
	return d, m.store.PutBlob(repository, content)
}

func (m *maker) manifest(repository, tag string, doc document) (descriptor, error) {
	doc.SchemaVersion = 2
	raw, err := json.Marshal(doc)
	if err != nil {
		return descriptor{}, err
	}
	d := descriptor{MediaType: doc.MediaType, Digest: digestOf(raw), Size: len(raw)}
	if m.set.Manifests[repository] == nil {
		m.set.Manifests[repository] = map[string]bool{}
	}
	m.set.Manifests[repository][d.Digest] = true
	if tag != "" {
		m.set.Tags = append(m.set.Tags, Tag{repository, tag, d.Digest})
	}
	return d, m.store.PutManifest(repository, tag, doc.MediaType, raw)
}

func digestOf(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}
