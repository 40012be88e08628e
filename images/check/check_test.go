package check

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/berth-registry/berth/hostsconf"
	"github.com/berth-registry/berth/images/copy"
	"github.com/berth-registry/berth/images/internal/imagestest"
	"github.com/berth-registry/berth/images/manifest"
	"github.com/berth-registry/berth/images/reference"
	"github.com/berth-registry/berth/images/registry"
	"github.com/berth-registry/berth/test/fakes/fakeregistry"
	"github.com/berth-registry/berth/test/images/sample"
)

func check(t testing.TB, c *Checker, images []reference.Reference, to string) []Checked {
	t.Helper()
	target, err := reference.ParseTarget(to)
	if err != nil {
		t.Fatal(err)
	}
	all, problems, err := c.Check(t.Context(), images, func(r reference.Reference) []Spot { return []Spot{SpotOn(target, r)} })
	if err != nil || len(problems) > 0 {
		t.Fatal(err, problems)
	}
	return all
}

// copyTo copies images to a registry.
func copyTo(t testing.TB, a registry.Access, images []reference.Reference, to string) {
	t.Helper()
	at, err := reference.ParseLocation(to)
	if err != nil {
		t.Fatal(err)
	}
	results, err := (&copy.Copier{Access: a}).Copy(t.Context(), images, reference.Location{}, at)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range results {
		if r.Status != copy.StatusCopied {
			t.Fatalf("%s: %s (%v)", r.Image, r.Status, r.Err)
		}
	}
}

func TestCheck(t *testing.T) {
	source, target := imagestest.StartRegistry(t, fakeregistry.Options{}), imagestest.StartRegistry(t, fakeregistry.Options{})
	set, images := imagestest.Fill(t, source, sample.Options{Seed: 71, Images: 6})
	for _, c := range check(t, &Checker{}, images, target.Addr()) {
		if c.Finding != FoundMissing {
			t.Errorf("%s: %s, want missing", c.Image, c.Finding)
		}
	}
	copyTo(t, registry.Access{}, images, target.Addr()+"/mirror")
	source.Forget()
	for _, c := range check(t, &Checker{}, images, target.Addr()+"/mirror") {
		if c.Finding != FoundSame || c.Digest != c.Source || !strings.HasPrefix(c.Target, target.Addr()+"/mirror/") {
			t.Errorf("%+v, want the same", c)
		}
	}
	if n := source.Count(http.MethodGet, "/manifests/") + source.Count(http.MethodGet, "/blobs/"); n > 0 {
		t.Errorf("the source was asked for content %d times", n)
	}

	// Another manifest under the tag; a platform that is gone.
	other, index := set.Images[0], set.Images[1]
	if index.Shape != "index" {
		t.Fatal("the second of a set is an index")
	}
	target.PutManifest("mirror/"+other.Repository, other.Tag, sample.OCIManifest, []byte(`{"schemaVersion":2,"config":{},"layers":[]}`))
	lost := childDigest(t, source, index, 2)
	target.Delete("mirror/"+index.Repository, lost)
	all := check(t, &Checker{}, images, target.Addr()+"/mirror")
	if all[0].Finding != FoundDifferent || !strings.Contains(all[0].Note, manifest.Short(imagestest.MustHash(t, other.Digest))) {
		t.Errorf("%+v, want different", all[0])
	}
	if all[1].Finding != FoundIncomplete || !slices.Equal(all[1].Missing, []string{"linux/arm/v7"}) || !slices.Contains(all[1].Platforms, "linux/arm64") {
		t.Errorf("%+v, want it without linux/arm/v7", all[1])
	}

	// An unreachable source is reported without a failure, and not retried for each image.
	source.Close()
	var tried atomic.Int64
	count := func(r *http.Request) (*url.URL, error) {
		if r.URL.Host == source.Addr() {
			tried.Add(1)
		}
		return nil, nil
	}
	all = check(t, &Checker{Jobs: 1, Access: registry.Access{Proxy: count}}, images[2:], target.Addr()+"/mirror")
	if n := tried.Load(); n == 0 || n > registry.AttemptsDial {
		t.Errorf("%d attempts to reach the source of %d images, want at most %d", n, len(all), registry.AttemptsDial)
	}
	for _, c := range all {
		if c.Finding != FoundUnverified || !c.Finding.OK() || !strings.Contains(c.Note, "could not be asked") {
			t.Errorf("%+v, want unverified", c)
		}
	}
	target.Close()
	for _, c := range check(t, &Checker{}, images[2:], target.Addr()+"/mirror") {
		if c.Finding != FoundUnreachable || strings.Contains(c.Note, "\n") || !strings.Contains(c.Note, target.Addr()) {
			t.Errorf("%+v, want unreachable", c)
		}
	}
}

// A missing image and a refused login at the source are reported.
func TestCheckGone(t *testing.T) {
	source, target := imagestest.StartRegistry(t, fakeregistry.Options{}), imagestest.StartRegistry(t, fakeregistry.Options{Username: "user", Password: imagestest.Canary})
	set, images := imagestest.Fill(t, source, sample.Options{Seed: 72, Images: 1})
	access := registry.Access{Logins: imagestest.Logins(imagestest.Login(target.Addr(), ""))}
	copyTo(t, access, images, target.Addr())
	source.Delete(set.Images[0].Repository, set.Images[0].Tag)
	if c := check(t, &Checker{Access: access}, images, target.Addr())[0]; c.Finding != FoundUnverified || !strings.Contains(c.Note, "the source does not have the image") {
		t.Errorf("%+v", c)
	}
	if c := check(t, &Checker{}, images, target.Addr())[0]; c.Finding != FoundUnreachable || !strings.Contains(c.Note, "401") {
		t.Errorf("%+v", c)
	}
	// With a digest the source need not be asked.
	byDigest := imagestest.MustParse(t, source.Addr()+"/"+set.Images[0].Repository+"@"+set.Images[0].Digest)
	if c := check(t, &Checker{Access: access}, []reference.Reference{byDigest}, target.Addr())[0]; c.Finding != FoundSame {
		t.Errorf("%+v", c)
	}
}

func TestCheckPlatforms(t *testing.T) {
	source, target := imagestest.StartRegistry(t, fakeregistry.Options{}), imagestest.StartRegistry(t, fakeregistry.Options{})
	_, images := imagestest.Fill(t, source, sample.Options{Seed: 73, Images: 2}) // one for amd64, one index
	copyTo(t, registry.Access{}, images, target.Addr())
	for _, c := range []struct {
		wanted        string
		single, index Finding
	}{
		{"linux/amd64", FoundSame, FoundSame},
		{"linux/arm64", FoundIncomplete, FoundSame},
		{"linux/arm64/v8", FoundIncomplete, FoundSame},
		{"linux/amd64,linux/arm/v7", FoundIncomplete, FoundSame},
		{"linux/arm/v6", FoundIncomplete, FoundIncomplete},
		{"windows/amd64", FoundIncomplete, FoundIncomplete},
		{"linux/x86_64", FoundSame, FoundSame},
	} {
		k := &Checker{}
		for s := range strings.SplitSeq(c.wanted, ",") {
			p, err := manifest.ParsePlatform(s)
			if err != nil {
				t.Fatal(err)
			}
			k.Platforms = append(k.Platforms, p)
		}
		all := check(t, k, images, target.Addr())
		if all[0].Finding != c.single || all[1].Finding != c.index {
			t.Errorf("%s: %s and %s, want %s and %s (%+v)", c.wanted, all[0].Finding, all[1].Finding, c.single, c.index, all)
		}
	}
}

// Without a target, all mirrors in the directory that containerd would use are checked, below their
// prefixes and with their upstream.
func TestSpotsOf(t *testing.T) {
	url := func(s string) hostsconf.URL {
		u, err := hostsconf.ParseURL(s, false)
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	hub := hostsconf.UpstreamURL("docker.io", false)
	directories := []hostsconf.Directory{
		{Upstream: "docker.io", Hosts: []hostsconf.Host{{URL: url("harbor.corp/hub")}, {URL: url("http://mirror.corp:5000")}, {URL: url("push.corp"), Capabilities: []string{"push"}}}, Server: &hostsconf.Host{URL: hub}},
		{Upstream: "quay.io", Server: &hostsconf.Host{URL: url("https://art.corp/api/docker/quay/v2")}},
		{Upstream: "ghcr.io"},
		{Upstream: "*", Hosts: []hostsconf.Host{{URL: url("catch.corp/all")}}},
	}
	for image, want := range map[string][]string{
		"nginx:1":            {"harbor.corp/hub/library/nginx /v2/hub docker.io", "mirror.corp:5000/library/nginx /v2 docker.io plain"},
		"quay.io/a/b:1":      {"art.corp/api/docker/quay/a/b /api/docker/quay/v2 quay.io"},
		"ghcr.io/a/b:1":      {"ghcr.io/a/b  "},
		"registry.k8s.io/p1": {"catch.corp/all/p1 /v2/all registry.k8s.io"},
	} {
		var got []string
		for _, s := range SpotsOf(directories, imagestest.MustParse(t, image)) {
			text := s.String() + " " + s.Root + " " + s.Upstream
			if s.PlainHTTP {
				text += " plain"
			}
			got = append(got, text)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", image, got, want)
		}
	}
	if s := SpotsOf(nil, imagestest.MustParse(t, "nginx")); len(s) != 1 || !s[0].Itself {
		t.Errorf("%+v, want the registry itself", s)
	}
}

// A mirror with a prefix, or with its API below a path, is asked there.
func TestCheckMirrors(t *testing.T) {
	source := imagestest.StartRegistry(t, fakeregistry.Options{})
	set, images := imagestest.Fill(t, source, sample.Options{Seed: 74, Images: 1})
	for _, root := range []string{"/v2", "/v2/hub", "/api/docker/hub/v2"} {
		mirror := imagestest.StartRegistry(t, fakeregistry.Options{Root: root, Username: "user", Password: imagestest.Canary})
		if _, err := sample.Make(fakeregistry.Store{Server: mirror}, sample.Options{Seed: 74, Images: 1, MinLayer: 10, MaxLayer: 3000}); err != nil {
			t.Fatal(err)
		}
		if root == "/v2/hub" {
			// This mirror sends its challenge at /v2/.
			mirror.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path != "/v2/" {
					return false
				}
				w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
				w.WriteHeader(http.StatusUnauthorized)
				return true
			})
		}
		k := &Checker{Access: registry.Access{Logins: imagestest.Logins(imagestest.Login(mirror.Addr(), ""))}}
		spot := Spot{Host: mirror.Addr(), Root: root, Repository: set.Images[0].Repository, PlainHTTP: true, Upstream: "docker.io", Header: map[string][]string{"X-Secret": {"s"}}}
		all, _, err := k.Check(t.Context(), images, func(reference.Reference) []Spot { return []Spot{spot} })
		if err != nil || all[0].Finding != FoundSame {
			t.Errorf("%s: %+v %v", root, all, err)
		}
		for _, r := range mirror.Requests() {
			if strings.Contains(r.Path, "/manifests/") && r.Query != "ns=docker.io" {
				t.Errorf("%s: without ns: %s", root, r)
			}
		}
		// A redirect target gets neither the header nor the login.
		d := imagestest.StartDecoy(t)
		mirror.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.Contains(r.URL.Path, "/manifests/") {
				return false
			}
			http.Redirect(w, r, d.URL, http.StatusFound)
			return true
		})
		if all, _, err = k.Check(t.Context(), images, func(reference.Reference) []Spot { return []Spot{spot} }); err != nil || all[0].Finding != FoundUnreachable {
			t.Errorf("%s: %+v %v", root, all, err)
		}
		d.WantNothing(t, true)
	}
}

// childDigest is the digest of child n of an index.
func childDigest(t testing.TB, s *fakeregistry.Server, i sample.Image, n int) string {
	t.Helper()
	var index v1.IndexManifest
	if err := json.Unmarshal(s.Manifest(i.Repository, i.Tag), &index); err != nil {
		t.Fatal(err)
	}
	return index.Manifests[n].Digest.String()
}
