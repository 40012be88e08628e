package reference

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/berth-registry/berth/internal/hostport"
	"github.com/berth-registry/berth/internal/imagename"
)

// Target is a registry, with or without a path, that images are moved to. Each image keeps its
// repository path, tag and digest: docker.io/redislabs/redis:7 moved to registry.corp/mirror is
// registry.corp/mirror/redislabs/redis:7.
type Target struct {
	registry, path string
}

// ParseTarget reads host[:port][/path], the value of --to. The error quotes it and says what to
// write.
func ParseTarget(s string) (Target, error) {
	wrong := func(reason string) (Target, error) {
		return Target{}, fmt.Errorf("%s: %s", Quote(s), reason)
	}
	if s == "" {
		return wrong("is empty; write registry.corp:5000 or registry.corp/path")
	}
	if _, bare, ok := strings.Cut(s, "://"); ok && !strings.Contains(bare, "@") {
		return wrong("image names have no scheme; write " + strings.TrimSuffix(bare, "/"))
	}
	written := strings.TrimSuffix(s, "/")
	// Parse decides which registry a name with this beginning has.
	r, err := Parse(written + "/x")
	if err != nil {
		return wrong("is no registry with or without a path; write registry.corp:5000 or registry.corp/path, in lower case and without a tag")
	}
	first, path, _ := strings.Cut(written, "/")
	if !imagename.HasRegistry(written + "/x") {
		return wrong(fmt.Sprintf("image names that begin with %s are images of Docker Hub; write the registry with a domain or a port, as in %s.corp or %s:443",
			Quote(first), first, first))
	}
	if _, err := hostport.Parse(first); err != nil {
		return wrong("the registry " + err.Error())
	}
	return Target{registry: r.registry, path: path}, nil
}

// Registry is the host[:port] of the target.
func (t Target) Registry() string { return t.registry }

// String is host[:port][/path].
func (t Target) String() string {
	if t.path == "" {
		return t.registry
	}
	return t.registry + "/" + t.path
}

// Reference is the name of r on the target; r itself if it is already there.
func (t Target) Reference(r Reference) Reference {
	if t.Holds(r) {
		return r
	}
	r.registry, r.repository = t.registry, t.repository(r.repository)
	return r
}

// Holds reports whether r is already on the target.
func (t Target) Holds(r Reference) bool {
	return SameRegistry(t.registry, r.registry) &&
		(t.path == "" || strings.HasPrefix(r.repository, t.path+"/"))
}

func (t Target) repository(repository string) string {
	if t.path == "" {
		return repository
	}
	return t.path + "/" + repository
}

// SameRegistry compares hosts as clients do: case is ignored, and 443 is the default port.
func SameRegistry(a, b string) bool {
	canonical := func(s string) string { return hostport.TrimDefaultPort(strings.ToLower(s), "https") }
	return canonical(a) == canonical(b)
}

// Collisions returns groups of references that would get the same name on the target although they
// come from different registries: only one of a group can exist there. Each group is sorted and has
// no duplicates.
func (t Target) Collisions(refs []Reference) [][]Reference {
	by := map[Reference][]Reference{}
	for _, r := range refs {
		to := t.Reference(r)
		if !slices.Contains(by[to], r) {
			by[to] = append(by[to], r)
		}
	}
	var all [][]Reference
	for _, same := range by {
		if len(same) > 1 {
			slices.SortFunc(same, Compare)
			all = append(all, same)
		}
	}
	slices.SortFunc(all, func(a, b []Reference) int { return Compare(a[0], b[0]) })
	return all
}

// Compare orders references by registry, then by their text.
func Compare(a, b Reference) int {
	return cmp.Or(cmp.Compare(a.registry, b.registry), cmp.Compare(a.String(), b.String()))
}
