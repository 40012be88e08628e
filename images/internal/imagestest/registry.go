// Package imagestest has helpers for the tests of the packages of images.
package imagestest

import (
	"net/http"
	"net/url"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/berth-registry/berth/images/reference"
	"github.com/berth-registry/berth/test/fakes/fakeregistry"
	"github.com/berth-registry/berth/test/images/sample"
)

// MustHash parses a digest; an invalid one ends the test.
func MustHash(t testing.TB, s string) v1.Hash {
	t.Helper()
	h, err := v1.NewHash(s)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// StartRegistry starts a registry that is stopped when the test ends.
func StartRegistry(t testing.TB, o fakeregistry.Options) *fakeregistry.Server {
	t.Helper()
	s := fakeregistry.Start(o)
	t.Cleanup(s.Close)
	return s
}

// Fill puts sample images into a registry, and returns their names.
func Fill(t testing.TB, s *fakeregistry.Server, o sample.Options) (*sample.Set, []reference.Reference) {
	t.Helper()
	if o.Images == 0 {
		o.Images = 20
	}
	o.MinLayer, o.MaxLayer = 10, 3000
	set, err := sample.Make(fakeregistry.Store{Server: s}, o)
	if err != nil {
		t.Fatal(err)
	}
	var all []reference.Reference
	for _, i := range set.Images {
		all = append(all, MustParse(t, s.Addr()+"/"+i.Repository+":"+i.Tag))
	}
	return set, all
}

// ThroughFor is a proxy function for one host.
func ThroughFor(t testing.TB, proxy, host string) func(*http.Request) (*url.URL, error) {
	t.Helper()
	u, err := url.Parse(proxy)
	if err != nil {
		t.Fatal(err)
	}
	return func(r *http.Request) (*url.URL, error) {
		if r.URL.Hostname() == host {
			return u, nil
		}
		return nil, nil
	}
}

// MustParse parses a reference; an invalid one ends the test.
func MustParse(t testing.TB, s string) reference.Reference {
	t.Helper()
	r, err := reference.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return r
}
