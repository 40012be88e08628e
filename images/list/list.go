// Package list collects which images are used and where: from manifests, lists of other programs,
// OCI layouts and the container runtime of a node.
//
// It promises that an input which cannot be read or decided is a problem of the list, never
// silence. It only reads. Start reading at [List].
package list

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/berth-registry/berth/images/inventory"
	"github.com/berth-registry/berth/images/place"
	"github.com/berth-registry/berth/images/reference"
)

// Image is one image with all places where it was found.
type Image struct {
	Reference reference.Reference
	Found     []place.Place
}

// Count is the number of uses: one for each place, or the number that a list gives.
func (i Image) Count() int {
	n := 0
	for _, p := range i.Found {
		n += max(1, p.Count)
	}
	return n
}

// List collects images and where they were found. Fill it with [List.AddManifests],
// [List.AddPlain], [List.AddLayout] and [List.AddNode]; each continues after an input that it
// cannot read. The zero value is an empty list.
type List struct {
	// Namespace restricts the list to objects of that namespace; "" is all. Set it and AllowUnknown
	// before filling the list.
	Namespace string
	// AllowUnknown leaves out values with the form of an image in unknown fields without reporting
	// a problem.
	AllowUnknown bool

	found    map[reference.Reference][]place.Place
	problems []error
	unknown  []error
	redis    inventory.Redis
}

// inNamespace reports whether a place is in the requested namespace.
func (l *List) inNamespace(p place.Place) bool {
	return l.Namespace == "" || p.Namespace == l.Namespace
}

// Add adds an image.
func (l *List) Add(r reference.Reference, p place.Place) {
	if !l.inNamespace(p) {
		return
	}
	if l.found == nil {
		l.found = map[reference.Reference][]place.Place{}
	}
	l.found[r] = append(l.found[r], p)
}

// AddProblem records that the list may lack something.
func (l *List) AddProblem(err error) {
	if p, ok := errors.AsType[*place.Problem](err); ok && p.Place.Kind != "" && !l.inNamespace(p.Place) {
		return
	}
	l.problems = append(l.problems, err)
}

// addFinding adds a finding as an image or as a problem.
func (l *List) addFinding(x inventory.Occurrence) {
	problem := &place.Problem{Place: x.Place, Err: x.Err}
	switch {
	case x.Unknown != nil && !l.inNamespace(x.Place):
	case x.Unknown != nil:
		l.unknown = append(l.unknown, problem)
		if !l.AllowUnknown {
			l.AddProblem(problem)
		}
	case x.Err != nil && inventory.IsRedisSpec(x): // reported with the operator's version
	case x.Err != nil:
		l.AddProblem(problem)
	default:
		l.Add(x.Ref, x.Place)
	}
}

// Unknown returns the values that have the form of an image while nothing says that they are
// images, in reading order, one line each.
func (l *List) Unknown() []error { return l.unknown }

// Problems returns what could not be read or decided, in reading order, one line each. If there are
// any, the list may be incomplete.
func (l *List) Problems() []error {
	all := slices.Concat(l.problems, l.redis.Problems(l.inNamespace))
	if l.Namespace != "" && len(all) == 0 && len(l.found) == 0 {
		all = append(all, fmt.Errorf("no image found in namespace %s; objects from a cluster have a namespace (kubectl get -o yaml)", l.Namespace))
	}
	return all
}

// Images returns the images sorted by reference, each once.
func (l *List) Images() []Image {
	all := make([]Image, 0, len(l.found))
	for r, places := range l.found {
		all = append(all, Image{Reference: r, Found: places})
	}
	slices.SortFunc(all, func(a, b Image) int { return reference.Compare(a.Reference, b.Reference) })
	return all
}

// References returns the references of [List.Images].
func (l *List) References() []reference.Reference {
	images := l.Images()
	refs := make([]reference.Reference, len(images))
	for i, image := range images {
		refs[i] = image.Reference
	}
	return refs
}

// RegistryImages are the images of one source registry.
type RegistryImages struct {
	Registry string
	Images   []Image
}

// Registries groups the images by the registry in their names.
func (l *List) Registries() []RegistryImages {
	by := map[string][]Image{}
	for _, image := range l.Images() {
		name := image.Reference.Registry()
		by[name] = append(by[name], image)
	}
	var all []RegistryImages
	for _, name := range slices.Sorted(maps.Keys(by)) {
		all = append(all, RegistryImages{name, by[name]})
	}
	return all
}
