package sample

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// single makes an image of one platform. base is the number of the base whose layers it shares, nil
// for none.
func (m *maker) single(rnd *rand.Rand, repository, tag string, p platform, base *int, docker bool) (descriptor, error) {
	doc := document{MediaType: OCIManifest}
	configType, layerType := ociConfig, ociLayer
	if docker {
		doc.MediaType, configType, layerType = DockerManifest, dockerConfig, dockerLayer
	}
	if base != nil {
		shared := rand.New(rand.NewPCG(m.o.Seed, 1<<32+uint64(*base)))
		for range 3 {
			l, err := m.layer(shared, repository, layerType)
			if err != nil {
				return l, err
			}
			doc.Layers = append(doc.Layers, l)
		}
	}
	for range 1 + rnd.IntN(4) {
		l, err := m.layer(rnd, repository, layerType)
		if err != nil {
			return l, err
		}
		doc.Layers = append(doc.Layers, l)
	}
	config, err := m.blob(repository, configType, fmt.Appendf(nil,
		`{"architecture":%q,"os":%q,"variant":%q,"config":{"Env":["OF=%s:%s-%d"]},"rootfs":{"type":"layers","diff_ids":[]}}`,
		p.Architecture, p.OS, p.Variant, repository, tag, rnd.Uint64()))
	if err != nil {
		return config, err
	}
	doc.Config = &config
	return m.manifest(repository, tag, doc)
}

// index makes an image of six platforms, with the attestation that BuildKit adds for the first.
func (m *maker) index(rnd *rand.Rand, repository, tag string, docker bool) (descriptor, error) {
	doc := document{MediaType: OCIIndex}
	if docker {
		doc.MediaType = DockerList
	}
	for _, p := range []platform{
		{"amd64", "linux", ""}, {"arm64", "linux", "v8"}, {"arm", "linux", "v7"},
		{"s390x", "linux", ""}, {"ppc64le", "linux", ""}, {"386", "linux", ""},
	} {
		d, err := m.single(rnd, repository, "", p, nil, docker)
		if err != nil {
			return d, err
		}
		d.Platform = &p
		doc.Manifests = append(doc.Manifests, d)
	}
	if !docker {
		d, err := m.single(rnd, repository, "", platform{"unknown", "unknown", ""}, nil, false)
		if err != nil {
			return d, err
		}
		d.Platform = &platform{"unknown", "unknown", ""}
		d.Annotations = map[string]string{
			"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": doc.Manifests[0].Digest,
		}
		doc.Manifests = append(doc.Manifests, d)
	}
	return m.manifest(repository, tag, doc)
}

// attach makes the artifacts of an image: a signature under cosign's tag, two artifacts that name
// the image as their subject, and a signature of one of these.
func (m *maker) attach(rnd *rand.Rand, repository string, subject descriptor) error {
	tag := strings.Replace(subject.Digest, ":", "-", 1)
	if _, err := m.single(rnd, repository, tag+".sig", platform{}, nil, false); err != nil {
		return err
	}
	var all []descriptor
	for _, kind := range []string{"application/vnd.example.sbom", "application/vnd.example.provenance"} {
		d, err := m.artifact(rnd, repository, kind, subject)
		if err != nil {
			return err
		}
		all = append(all, d)
	}
	if err := m.list(repository, subject, all); err != nil {
		return err
	}
	signature, err := m.artifact(rnd, repository, "application/vnd.example.signature", all[0])
	if err != nil {
		return err
	}
	return m.list(repository, all[0], []descriptor{signature})
}

func (m *maker) artifact(rnd *rand.Rand, repository, kind string, subject descriptor) (descriptor, error) {
	config, err := m.blob(repository, "application/vnd.oci.empty.v1+json", []byte("{}"))
	if err != nil {
		return config, err
	}
	content, err := m.blob(repository, kind, random(rnd, 200))
	if err != nil {
		return content, err
	}
	subject.Platform, subject.Annotations, subject.ArtifactType = nil, nil, ""
	d, err := m.manifest(repository, "", document{
		MediaType: OCIManifest, ArtifactType: kind, Config: &config, Layers: []descriptor{content}, Subject: &subject,
	})
	d.ArtifactType = kind
	return d, err
}

// list makes the tag that replaces the referrers API.
func (m *maker) list(repository string, subject descriptor, all []descriptor) error {
	if m.o.API {
		return nil
	}
	_, err := m.manifest(repository, strings.Replace(subject.Digest, ":", "-", 1), document{MediaType: OCIIndex, Manifests: all})
	return err
}
