package credprovider

import (
	"cmp"
	"errors"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/berth-registry/berth/credprovider/ecr"
)

// maxScan is how many names of the token directory are read at most. Berth writes two for each
// region.
const maxScan = 4096

// Scopes lists the services and regions that have a token file, by the names of the files alone;
// [Tokens.Cached] reads them. The registries have no host. Other names are ignored; a missing
// directory has none.
func (t *Tokens) Scopes() ([]ecr.Registry, error) {
	dir, err := os.Open(t.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(maxScan)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	var found []ecr.Registry
	for _, name := range names {
		if r, ok := parseFileName(name); ok && !slices.Contains(found, r) {
			found = append(found, r)
		}
	}
	slices.SortFunc(found, func(a, b ecr.Registry) int {
		return cmp.Or(cmp.Compare(a.Service(), b.Service()), cmp.Compare(a.Region, b.Region))
	})
	return found, nil
}

// parseFileName is the inverse of [scope.fileName].
func parseFileName(name string) (ecr.Registry, bool) {
	base, ok := strings.CutSuffix(name, ".json")
	parts := strings.Split(base, "_")
	if !ok || len(parts) != 3 || !isIdentity(parts[1]) {
		return ecr.Registry{}, false
	}
	return ecr.InRegion(ecr.Service(parts[0]), parts[2])
}

// isIdentity reports whether s has the form of [ecr.Identity].Name: a word, or hex digits.
func isIdentity(s string) bool {
	if s == "" || len(s) > 64 {
		return false
	}
	for _, c := range s {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}
