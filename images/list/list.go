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

// Image is one image and everywhere it was found.
type Image struct {
	Reference reference.Reference
	Found     []place.Place
}

// Count is how often the image was found: once at each place, and as often as a
// list counts it.
func (i Image) Count() int {
	n := 0
	for _, p := range i.Found {
		n += max(1, p.Count)
	}
	return n
}

// List is what images were found where. Fill it with [List.AddManifests],
// [List.AddPlain], [List.AddLayout] and [List.AddNode]; none of them stops at what it cannot
// read. The zero value is an empty list.
type List struct {
	// Namespace keeps only what is found in objects of that namespace; all if it
	// is "". Set it and AllowUnknown before filling the list.
	Namespace string
	// AllowUnknown accepts what looks like an image at a place that is not known
	// for them: it is not on the list, and no problem.
	AllowUnknown bool

	found    map[reference.Reference][]place.Place
	problems []error
	unknown  []error
	redis    inventory.Redis
}

// inNamespace reports whether a place is in the namespace that is asked for.
func (l *List) inNamespace(p place.Place) bool {
	return l.Namespace == "" || p.Namespace == l.Namespace
}

// Add puts an image on the list.
func (l *List) Add(r reference.Reference, p place.Place) {
	if !l.inNamespace(p) {
		return
	}
	if l.found == nil {
		l.found = map[reference.Reference][]place.Place{}
	}
	l.found[r] = append(l.found[r], p)
}

// AddProblem notes that the list may lack something.
func (l *List) AddProblem(err error) {
	if p, ok := errors.AsType[*place.Problem](err); ok && p.Place.Kind != "" && !l.inNamespace(p.Place) {
		return
	}
	l.problems = append(l.problems, err)
}

// addFinding puts what was found in a manifest where it belongs.
func (l *List) addFinding(x inventory.Occurrence) {
	problem := &place.Problem{Place: x.Place, Err: x.Err}
	switch {
	case x.Unknown != nil && !l.inNamespace(x.Place):
	case x.Unknown != nil:
		l.unknown = append(l.unknown, problem)
		if !l.AllowUnknown {
			l.AddProblem(problem)
		}
	case x.Err != nil && inventory.IsRedisSpec(x): // told with the operator's version
	case x.Err != nil:
		l.AddProblem(problem)
	default:
		l.Add(x.Ref, x.Place)
	}
}

// Unknown are the places where something looks like an image and nothing says
// that it is one, in the order of reading, one line each.
func (l *List) Unknown() []error { return l.unknown }

// Problems are what could not be read or decided, in the order of reading, one
// line each. With any of them the list may be incomplete.
func (l *List) Problems() []error {
	all := slices.Concat(l.problems, l.redis.Problems(l.inNamespace))
	if l.Namespace != "" && len(all) == 0 && len(l.found) == 0 {
		all = append(all, fmt.Errorf("no image is used in namespace %s here; objects tell their namespace when they come from a cluster (kubectl get -o yaml)", l.Namespace))
	}
	return all
}

// Images are the images by their reference, each once.
func (l *List) Images() []Image {
	all := make([]Image, 0, len(l.found))
	for r, places := range l.found {
		all = append(all, Image{Reference: r, Found: places})
	}
	slices.SortFunc(all, func(a, b Image) int { return reference.Compare(a.Reference, b.Reference) })
	return all
}

// References are the references of [List.Images].
func (l *List) References() []reference.Reference {
	images := l.Images()
	refs := make([]reference.Reference, len(images))
	for i, image := range images {
		refs[i] = image.Reference
	}
	return refs
}

// RegistryImages is the images of one source registry.
type RegistryImages struct {
	Registry string
	Images   []Image
}

// Registries are the images grouped by the registry in their names.
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
