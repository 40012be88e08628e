package e2e

import (
	"net/url"

	"github.com/berth-registry/berth/test/sample"
)

// fetch describes the requests of one pull, which both versions of containerd make to one host. A
// field with its zero value is left out.
type fetch struct {
	path string // API root and repository: /v2/library/app
	tag  string // tag or digest that is resolved
	ns   string // the upstream, on requests to a mirror
	img  sample.Image
}

func (f fetch) line(method, what string) string {
	line := method + " " + f.path + what
	if f.ns != "" {
		line += "?ns=" + url.QueryEscape(f.ns)
	}
	return line
}

// resolve returns the request that resolves a tag to a digest.
func (f fetch) resolve() string { return f.line("HEAD", "/manifests/"+f.tag) }

// content returns every later request: manifests, config and layers.
func (f fetch) content() []string {
	lines := []string{f.line("GET", "/manifests/"+f.img.Digest)}
	if f.img.Manifest != f.img.Digest {
		lines = append(lines, f.line("GET", "/manifests/"+f.img.Manifest))
	}
	return append(lines, f.blobs()...)
}

func (f fetch) blobs() []string {
	var lines []string
	for _, digest := range f.img.Blobs {
		lines = append(lines, f.line("GET", "/blobs/"+digest))
	}
	return lines
}

// all returns the whole pull from one host.
func (f fetch) all() []string { return append(f.content(), f.resolve()) }

// ok adds the status as docker-registry logs it.
func ok(lines []string) []string { return status(" 200", lines) }

func status(status string, lines []string) []string {
	var with []string
	for _, l := range lines {
		with = append(with, l+status)
	}
	return with
}
