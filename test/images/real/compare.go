package real

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/berth-registry/berth/test/images/sample"
)

func digestOf(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// Differences returns how the registry differs from a set: repositories, tags, manifests and blobs
// that are missing or too many, by digest, and content in its store that does not match its digest.
func (r *Registry) Differences(ctx context.Context, set *sample.Set) ([]string, error) {
	d := &differences{r: r, set: set}
	if err := d.repositories(ctx); err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(set.Manifests)) {
		if err := d.repository(ctx, name); err != nil {
			return nil, err
		}
	}
	return d.found, d.store()
}

type differences struct {
	r     *Registry
	set   *sample.Set
	found []string
}

func (d *differences) add(format string, args ...any) {
	d.found = append(d.found, fmt.Sprintf(format, args...))
}

// compare records elements of want that are missing in got, and elements that are too many.
func (d *differences) compare(what string, want, got []string) {
	for _, w := range want {
		if !slices.Contains(got, w) {
			d.add("%s: missing: %s", what, w)
		}
	}
	for _, g := range got {
		if !slices.Contains(want, g) {
			d.add("%s: too much: %s", what, g)
		}
	}
}

func (d *differences) json(ctx context.Context, path string, v any) error {
	resp, err := get(ctx, "http://"+d.r.addr+path)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusNotFound {
		return nil // nothing is what there is
	}
	return json.NewDecoder(resp.Body).Decode(v)
}

func (d *differences) repositories(ctx context.Context) error {
	var have struct {
		Repositories []string `json:"repositories"`
	}
	if err := d.json(ctx, "/v2/_catalog?n=1000", &have); err != nil {
		return err
	}
	d.compare("repositories", slices.Sorted(maps.Keys(d.set.Manifests)), have.Repositories)
	return nil
}

func (d *differences) repository(ctx context.Context, name string) error {
	var have struct {
		Tags []string `json:"tags"`
	}
	if err := d.json(ctx, "/v2/"+name+"/tags/list", &have); err != nil {
		return err
	}
	var want []string
	for _, t := range d.set.Tags {
		if t.Repository != name {
			continue
		}
		want = append(want, t.Tag)
		digest, err := d.digest(ctx, "/v2/"+name+"/manifests/"+t.Tag)
		if err != nil {
			return err
		}
		if digest != t.Digest {
			d.add("%s:%s is %q, want %s", name, t.Tag, digest, t.Digest)
		}
	}
	d.compare(name, want, have.Tags)
	for digest := range d.set.Manifests[name] {
		got, err := d.digest(ctx, "/v2/"+name+"/manifests/"+digest)
		if err != nil {
			return err
		}
		if got != digest {
			d.add("%s@%s is %q", name, digest, got)
		}
	}
	for digest := range d.set.Blobs[name] {
		req, err := http.NewRequestWithContext(ctx, http.MethodHead, "http://"+d.r.addr+"/v2/"+name+"/blobs/"+digest, nil)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK || resp.ContentLength != d.set.Unique[digest] {
			d.add("%s: blob %s: %s, %d bytes, want %d", name, digest, resp.Status, resp.ContentLength, d.set.Unique[digest])
		}
	}
	return nil
}

// digest gets a manifest and hashes it.
func (d *differences) digest(ctx context.Context, path string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+d.r.addr+path, nil)
	if err != nil {
		return "", err
	}
	req.Header.Set("Accept", strings.Join([]string{sample.OCIManifest, sample.OCIIndex, sample.DockerManifest, sample.DockerList}, ","))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		return resp.Status, err
	}
	return digestOf(raw), nil
}

// store hashes everything in the store of the registry.
func (d *differences) store() error {
	want := map[string]bool{}
	for digest := range d.set.Unique {
		want[digest] = true
	}
	for _, manifests := range d.set.Manifests {
		maps.Copy(want, manifests)
	}
	base := filepath.Join(d.r.Store(), "blobs/sha256")
	err := filepath.WalkDir(base, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.Name() != "data" {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		h := sha256.New()
		if _, err := io.Copy(h, f); err != nil {
			return err
		}
		name := "sha256:" + filepath.Base(filepath.Dir(path))
		if got := "sha256:" + hex.EncodeToString(h.Sum(nil)); got != name {
			d.add("%s holds %s", name, got)
		}
		if !want[name] {
			d.add("%s is too much", name)
		}
		delete(want, name)
		return nil
	})
	for digest := range want {
		d.add("%s is not in the store", digest)
	}
	return err
}
