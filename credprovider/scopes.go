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

// maxScan bounds how many names of the token directory are looked at. Berth
// writes two for each region.
const maxScan = 4096

// Scopes lists the services and regions that have a token file, whoever wrote
// it and whatever is in it: [Tokens.Cached] tells. The registries have no
// host. Names that are not those of token files are passed over; a directory
// that is not there has none.
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

// parseFileName reads back what [scope.fileName] made.
func parseFileName(name string) (ecr.Registry, bool) {
	base, ok := strings.CutSuffix(name, ".json")
	parts := strings.Split(base, "_")
	if !ok || len(parts) != 3 || !isIdentity(parts[1]) {
		return ecr.Registry{}, false
	}
	return ecr.InRegion(ecr.Service(parts[0]), parts[2])
}

// isIdentity accepts what [ecr.Identity] names: a word, or hex digits.
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
