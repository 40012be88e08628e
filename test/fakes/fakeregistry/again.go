package fakeregistry

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// SentAgain returns the blobs and manifests, by repository, that were sent to a registry although
// it had them and had said so before. Content that was asked for at the same time does not count.
func SentAgain(requests []Request) []string {
	return again(requests, func(repository, name string) string { return repository + " " + name })
}

// UploadedAgain returns the blobs whose content was sent to a registry more than once, to any
// repositories.
func UploadedAgain(requests []Request) []string {
	return again(requests, func(_, name string) string {
		if strings.HasPrefix(name, "blob ") {
			return name
		}
		return ""
	})
}

func again(requests []Request, key func(repository, name string) string) []string {
	requests = slices.Clone(requests)
	slices.SortFunc(requests, func(a, b Request) int { return a.Begin.Compare(b.Begin) })
	have := map[string]time.Time{} // since when
	var all []string
	for _, r := range requests {
		if r.Method != http.MethodPut || r.Status != http.StatusCreated {
			continue
		}
		k := key(r.stored())
		if k == "" {
			continue
		}
		since, ok := have[k]
		if !ok {
			have[k] = r.End
			continue
		}
		if r.Begin.After(since) {
			all = append(all, fmt.Sprintf("%s (%s later)", r, r.Begin.Sub(since)))
		}
	}
	return all
}

// stored returns what a PUT stores: a blob or the name of a manifest.
func (r Request) stored() (repository, name string) {
	path := strings.TrimPrefix(r.Path, "/v2/")
	if repository, _, ok := strings.Cut(path, "/blobs/uploads/"); ok {
		_, digest, _ := strings.Cut(r.Query, "digest=")
		digest, _, _ = strings.Cut(strings.Replace(digest, "%3A", ":", 1), "&")
		return repository, "blob " + digest
	}
	repository, name, _ = strings.Cut(path, "/manifests/")
	return repository, name
}
