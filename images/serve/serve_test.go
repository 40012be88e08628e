package serve_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/berth-registry/berth/images/layout"
	"github.com/berth-registry/berth/images/manifest"
)

type answer struct {
	status int
	header http.Header
	body   string
}

// ask sends a request without following redirects or cleaning the path.
func ask(t testing.TB, s *httptest.Server, method, path string, header ...string) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, s.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.URL.Path, r.URL.RawQuery, _ = strings.Cut(path, "?")
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	got, err := s.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer got.Body.Close()
	body, err := io.ReadAll(got.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{got.StatusCode, got.Header, string(body)}
}

// TestEveryImage pulls each image of a set in each of the ways that name it, whole and verified.
func TestEveryImage(t *testing.T) {
	dir := t.TempDir()
	set := fill(t, dir, "docker.io", 1, 24)
	s, _ := start(t, dir)
	for _, i := range set.Images {
		for _, path := range []string{
			"/v2/" + i.Repository + "/manifests/" + i.Tag, "/v2/" + i.Repository + "/manifests/" + i.Tag + "?ns=docker.io",
			"/v2/docker.io/" + i.Repository + "/manifests/" + i.Tag, "/v2/docker.io/" + i.Repository + "/manifests/" + i.Tag + "?ns=docker.io",
			"/v2/" + i.Repository + "/manifests/" + i.Digest, "/v2/" + i.Repository + "/manifests/" + i.Digest + "?ns=docker.io",
		} {
			for _, method := range []string{"GET", "HEAD"} {
				got := ask(t, s, method, path)
				if got.status != 200 || got.header.Get("Docker-Content-Digest") != i.Digest || got.header.Get("Content-Length") == "0" {
					t.Errorf("%s %s: %d %v %s", method, path, got.status, got.header, got.body)
				}
			}
		}
		ref, err := name.ParseReference(address(s) + "/" + i.Repository + ":" + i.Tag)
		if err != nil {
			t.Fatal(err)
		}
		d, err := remote.Get(ref, remote.WithContext(t.Context()))
		if err != nil {
			t.Fatal(err)
		}
		if d.MediaType.IsIndex() {
			index, err := d.ImageIndex()
			if err == nil {
				err = validate.Index(index, validate.Fast)
			}
			if err != nil {
				t.Errorf("%s: %v", ref, err)
			}
			continue
		}
		image, err := d.Image()
		if err != nil {
			t.Fatal(err)
		}
		layers, err := image.Layers()
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range layers {
			body, err := l.Compressed()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, body); err != nil { // verifies the digest
				t.Errorf("%s: %v", ref, err)
			}
			body.Close()
		}
	}
	for repository, blobs := range set.Blobs {
		for digest := range blobs {
			if got := ask(t, s, "HEAD", "/v2/"+repository+"/blobs/"+digest); got.status != 200 ||
				got.header.Get("Content-Length") != fmt.Sprint(set.Unique[digest]) || got.header.Get("Docker-Content-Digest") != digest {
				t.Errorf("%s: %d %v", digest, got.status, got.header)
			}
		}
	}
}

// TestNames answers each request with the image that it names, and never with that of another
// registry.
func TestNames(t *testing.T) {
	dir := t.TempDir()
	hub, quay := fill(t, dir, "docker.io", 1, 6), fill(t, dir, "quay.io:8443", 2, 3)
	s, log := start(t, dir)
	both, only := quay.Images[0], hub.Images[5]
	if both.Repository != hub.Images[0].Repository || both.Tag != hub.Images[0].Tag || both.Digest == hub.Images[0].Digest {
		t.Fatal("the sets must share a name")
	}
	path := "/" + both.Repository + "/manifests/" + both.Tag
	for _, test := range []struct{ path, digest, code string }{
		{"/v2/docker.io" + path, hub.Images[0].Digest, ""},
		{"/v2/quay.io:8443" + path, both.Digest, ""},
		{"/v2" + path + "?ns=docker.io", hub.Images[0].Digest, ""},
		{"/v2" + path + "?ns=index.docker.io", hub.Images[0].Digest, ""},
		{"/v2" + path + "?ns=quay.io:8443", both.Digest, ""},
		{"/v2/quay.io:8443" + path + "?ns=quay.io:8443", both.Digest, ""},
		{"/v2" + path, "", "MANIFEST_UNKNOWN"}, // two different ones
		{"/v2" + path + "?ns=quay.io", "", "NAME_UNKNOWN"},
		{"/v2" + path + "?ns=ghcr.io", "", "NAME_UNKNOWN"},
		{"/v2/docker.io" + path + "?ns=quay.io:8443", "", "NAME_UNKNOWN"},
		{"/v2/" + only.Repository + "/manifests/" + only.Tag, only.Digest, ""},
		{"/v2/" + only.Repository + "/manifests/" + only.Tag + "?ns=quay.io:8443", "", "NAME_UNKNOWN"},
		{"/v2/" + only.Repository + "/manifests/none", "", "MANIFEST_UNKNOWN"},
		{"/v2/none/manifests/" + only.Tag, "", "NAME_UNKNOWN"},
	} {
		got := ask(t, s, "GET", test.path)
		wantStatus := 200
		if test.code != "" {
			wantStatus = 404
		}
		if got.status != wantStatus || got.header.Get("Docker-Content-Digest") != test.digest || !strings.Contains(got.body, test.code) {
			t.Errorf("%s: %d %s, want %s%s\n%s", test.path, got.status, got.header.Get("Docker-Content-Digest"), test.digest, test.code, got.body)
		}
	}
	if !strings.Contains(log.String(), "not served") || !strings.Contains(log.String(), "ns=ghcr.io") {
		t.Errorf("what was not there is not in the log:\n%s", log)
	}
}

// TestRefused covers requests that a registry for pulls alone refuses, and paths out of it.
func TestRefused(t *testing.T) {
	dir := t.TempDir()
	set := fill(t, dir, "docker.io", 1, 6)
	if err := os.WriteFile(filepath.Join(dir, "secret"), []byte("hunter2"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, _ := start(t, dir)
	i := set.Images[0]
	var blob string
	for blob = range set.Blobs[i.Repository] {
		break
	}
	none := "sha256:" + strings.Repeat("0", 64)
	for _, test := range []struct {
		method, path string
		status       int
		code         string
	}{
		{"GET", "/v2/", 200, ""}, {"HEAD", "/v2/", 200, ""}, {"GET", "/v2", 200, ""},
		{"GET", "/", 404, "NAME_UNKNOWN"}, {"GET", "/secret", 404, ""}, {"GET", "/v2/secret", 404, "NAME_INVALID"},
		{"GET", "/v2/" + i.Repository + "/blobs/" + none, 404, "BLOB_UNKNOWN"},
		{"GET", "/v2/" + i.Repository + "/manifests/" + none, 404, "MANIFEST_UNKNOWN"},
		{"GET", "/v2/" + i.Repository + "/manifests/" + blob, 404, "MANIFEST_UNKNOWN"}, // a layer is no manifest
		{"GET", "/v2/" + i.Repository + "/blobs/sha256:xyz", 400, "DIGEST_INVALID"},
		{"GET", "/v2/" + i.Repository + "/blobs/sha256:../../secret", 404, ""},
		{"GET", "/v2/" + i.Repository + "/blobs/../../../secret", 404, ""},
		{"GET", "/v2/" + i.Repository + "/manifests/../../../secret", 404, ""},
		{"GET", "/v2/../secret/tags/list", 404, "NAME_UNKNOWN"},
		{"GET", "/v2/" + i.Repository + "/referrers/x", 400, "DIGEST_INVALID"},
		{"GET", "/v2/" + i.Repository + "/tags/list?n=x", 400, "PAGINATION_NUMBER_INVALID"},
		{"POST", "/v2/" + i.Repository + "/blobs/uploads/", 405, "UNSUPPORTED"},
		{"PUT", "/v2/" + i.Repository + "/manifests/" + i.Tag, 405, "UNSUPPORTED"},
		{"DELETE", "/v2/" + i.Repository + "/manifests/" + i.Digest, 405, "UNSUPPORTED"},
		{"PATCH", "/v2/", 405, "UNSUPPORTED"},
	} {
		got := ask(t, s, test.method, test.path)
		if got.status != test.status || !strings.Contains(got.body, test.code) || strings.Contains(got.body, "hunter2") {
			t.Errorf("%s %s: %d %s, want %d %s", test.method, test.path, got.status, got.body, test.status, test.code)
		}
		if got.status >= 400 && !json.Valid([]byte(got.body)) {
			t.Errorf("%s %s: not JSON: %s", test.method, test.path, got.body)
		}
	}
}

// TestRanges resumes a blob in the middle, of a directory and of each form of one file, in which
// blobs are stored as they are or compressed.
func TestRanges(t *testing.T) {
	dir := t.TempDir()
	repository := "docker.io/acme/ranges"
	l, err := layout.Create(dir)
	if err != nil {
		t.Fatal(err)
	}
	random := make([]byte, 300<<10)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(random)
	blobs := [][]byte{random, bytes.Repeat([]byte("compressible "), 30<<10), []byte("0123456789"), []byte("{}")}
	putImage(t, l, repository, "v1", blobs...)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"", "images.tar", "images.tar.zst"} {
		s, log := start(t, dir)
		if name != "" {
			s, log = startFile(t, bundleOf(t, dir, name))
		}
		for _, blob := range blobs {
			digest, err := digestOf(blob)
			if err != nil {
				t.Fatal(err)
			}
			path, size := "/v2/acme/ranges/blobs/"+digest.String(), len(blob)
			for _, r := range []struct{ from, to int }{{0, 0}, {1, size - 1}, {size / 2, size/2 + 70000}, {size - 1, size - 1}} {
				end := min(r.to, size-1)
				part := ask(t, s, "GET", path, "Range", fmt.Sprintf("bytes=%d-%d", r.from, r.to))
				if part.status != 206 || part.body != string(blob[r.from:end+1]) ||
					part.header.Get("Content-Range") != fmt.Sprintf("bytes %d-%d/%d", r.from, end, size) {
					t.Errorf("%q %s: %v: %d %v", name, digest, r, part.status, part.header)
				}
			}
			if rest := ask(t, s, "GET", path, "Range", fmt.Sprintf("bytes=%d-", size/3)); rest.status != 206 || rest.body != string(blob[size/3:]) {
				t.Errorf("%q %s: to its end: %d %v", name, digest, rest.status, rest.header)
			}
			if last := ask(t, s, "GET", path, "Range", "bytes=-2"); last.status != 206 || last.body != string(blob[size-2:]) {
				t.Errorf("%q %s: the last two bytes: %d %v", name, digest, last.status, last.header)
			}
			// The second part begins before the first one.
			back := ask(t, s, "GET", path, "Range", fmt.Sprintf("bytes=%d-%d,0-0", size-1, size-1))
			if first := strings.Index(back.body, "bytes 0-0/"); back.status != 206 || first < strings.Index(back.body, fmt.Sprintf("bytes %d-", size-1)) {
				t.Errorf("%q %s: two parts: %d %v", name, digest, back.status, back.header)
			}
			if past := ask(t, s, "GET", path, "Range", fmt.Sprintf("bytes=%d-", size)); past.status != 416 {
				t.Errorf("%q %s: past its end: %d", name, digest, past.status)
			}
			if whole := ask(t, s, "GET", path); whole.status != 200 || whole.body != string(blob) {
				t.Errorf("%q %s: whole: %d", name, digest, whole.status)
			}
		}
		if strings.Contains(log.String(), "error") {
			t.Errorf("%q: %s", name, log)
		}
	}
}

// TestLists covers tags, the catalog and referrers.
func TestLists(t *testing.T) {
	dir := t.TempDir()
	set := fill(t, dir, "docker.io", 1, 24)
	s, _ := start(t, dir)
	tags := map[string][]string{}
	for _, tag := range set.Tags {
		tags[tag.Repository] = append(tags[tag.Repository], tag.Tag)
	}
	for repository, want := range tags {
		slices.Sort(want)
		var got struct {
			Name string
			Tags []string
		}
		if err := json.Unmarshal([]byte(ask(t, s, "GET", "/v2/"+repository+"/tags/list").body), &got); err != nil {
			t.Fatal(err)
		}
		if got.Name != repository || !slices.Equal(got.Tags, want) {
			t.Errorf("%s: %q, want %q", repository, got.Tags, want)
		}
		// One at a time, by the links.
		var all []string
		for path := "/v2/" + repository + "/tags/list?n=1"; path != ""; {
			page := ask(t, s, "GET", path)
			if err := json.Unmarshal([]byte(page.body), &got); err != nil {
				t.Fatal(err)
			}
			all = append(all, got.Tags...)
			path, _, _ = strings.Cut(strings.TrimPrefix(page.header.Get("Link"), "<"), ">")
		}
		if !slices.Equal(all, want) {
			t.Errorf("%s by pages: %q, want %q", repository, all, want)
		}
	}
	var catalog struct{ Repositories []string }
	if err := json.Unmarshal([]byte(ask(t, s, "GET", "/v2/_catalog").body), &catalog); err != nil {
		t.Fatal(err)
	}
	if len(catalog.Repositories) != len(tags) || !strings.HasPrefix(catalog.Repositories[0], "docker.io/") {
		t.Errorf("catalog: %q of %d", catalog.Repositories, len(tags))
	}

	with := 0
	for _, i := range set.Images {
		var index v1.IndexManifest
		got := ask(t, s, "GET", "/v2/"+i.Repository+"/referrers/"+i.Digest)
		if err := json.Unmarshal([]byte(got.body), &index); err != nil || got.status != 200 {
			t.Fatal(err, got)
		}
		h, err := v1.NewHash(i.Digest)
		if err != nil {
			t.Fatal(err)
		}
		listed := slices.Contains(tags[i.Repository], manifest.ReferrersTag(h))
		if listed != (len(index.Manifests) > 0) {
			t.Errorf("%s: %d referrers, listed %v", i.Repository, len(index.Manifests), listed)
		}
		for _, d := range index.Manifests {
			with++
			got := ask(t, s, "GET", "/v2/"+i.Repository+"/referrers/"+i.Digest+"?artifactType="+strings.ReplaceAll(d.ArtifactType, "+", "%2B"))
			var filtered v1.IndexManifest
			if err := json.Unmarshal([]byte(got.body), &filtered); err != nil || got.header.Get("Oci-Filters-Applied") != "artifactType" {
				t.Fatal(err, got)
			}
			for _, f := range filtered.Manifests {
				if f.ArtifactType != d.ArtifactType {
					t.Errorf("%s: %s is not %s", i.Repository, f.ArtifactType, d.ArtifactType)
				}
			}
			if len(filtered.Manifests) == 0 {
				t.Errorf("%s: no %s", i.Repository, d.ArtifactType)
			}
		}
	}
	if with == 0 {
		t.Error("no image of the set has referrers")
	}
}

// TestFollowsTheDirectory sees images that are copied to it while it is served, and goes on
// serving when its index cannot be read.
func TestFollowsTheDirectory(t *testing.T) {
	dir := t.TempDir()
	first := fill(t, dir, "docker.io", 1, 3)
	s, log := start(t, dir)
	old := "/v2/" + first.Images[0].Repository + "/manifests/" + first.Images[0].Tag
	if got := ask(t, s, "GET", old+"?ns=docker.io"); got.status != 200 {
		t.Fatal(got)
	}
	second := fill(t, dir, "quay.io", 2, 3)
	added := "/v2/" + second.Images[0].Repository + "/manifests/" + second.Images[0].Tag
	if got := ask(t, s, "GET", added+"?ns=quay.io"); got.status != 200 || got.header.Get("Docker-Content-Digest") != second.Images[0].Digest {
		t.Errorf("an added image: %d %s", got.status, got.body)
	}
	index := filepath.Join(dir, layout.IndexFile)
	good, err := os.ReadFile(index)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(index, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := ask(t, s, "GET", old+"?ns=docker.io"); got.status != 200 {
		t.Errorf("with a broken index: %d", got.status)
	}
	if err := os.WriteFile(index, good, 0o600); err != nil {
		t.Fatal(err)
	}
	// A damaged manifest is an error of the server, and its file is in the log alone.
	h, err := v1.NewHash(first.Images[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "blobs", "sha256", h.Hex), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := ask(t, s, "GET", old+"?ns=docker.io"); got.status != 500 || strings.Contains(got.body, dir) || !strings.Contains(log.String(), h.Hex) {
		t.Errorf("a damaged manifest: %d %s\n%s", got.status, got.body, log)
	}
}

// TestAtOnce serves 200 clients at once, while the directory changes.
func TestAtOnce(t *testing.T) {
	dir := t.TempDir()
	set := fill(t, dir, "docker.io", 1, 12)
	s, _ := start(t, dir)
	s.Client().Transport.(*http.Transport).MaxIdleConnsPerHost = 200
	var wg sync.WaitGroup
	for n := range 200 {
		wg.Go(func() {
			i := set.Images[n%len(set.Images)]
			for digest := range set.Blobs[i.Repository] {
				got := ask(t, s, "GET", "/v2/"+i.Repository+"/blobs/"+digest+"?ns=docker.io")
				h, err := digestOf([]byte(got.body))
				if got.status != 200 || err != nil || h.String() != digest {
					t.Errorf("%s: %d %v", digest, got.status, err)
				}
			}
		})
	}
	for seed := range uint64(5) {
		fill(t, dir, fmt.Sprintf("r%d.corp", seed), seed+10, 2)
	}
	wg.Wait()
}
