package images

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Use says what an image was found as.
type Use string

// The uses of an image.
const (
	UseContainer Use = "container"   // of a pod or pod template, init and ephemeral ones too
	UseVolume    Use = "volume"      // mounted into a pod
	UseField     Use = "field"       // a custom resource or values of a chart name it
	UseEnv       Use = "environment" // the value of a variable, which an operator starts pods with
	UseArgument  Use = "argument"    // the value of a flag, as above
	UseData      Use = "data"        // a value in a ConfigMap that looks like one
	UsePause     Use = "pause"       // holds a pod's namespaces; kubelet never names it
	UsePinned    Use = "pinned"      // the runtime keeps it from being collected
	UseUnused    Use = "unused"      // on the node, and no container is made of it
	UseListed    Use = "listed"      // a plain list names it
)

// Place is where an image was found. What does not apply is empty.
type Place struct {
	File      string `json:"file,omitempty" yaml:"file,omitempty"` // as named; - is standard input
	Line      int    `json:"line,omitempty" yaml:"line,omitempty"` // from 1
	Column    int    `json:"column,omitempty" yaml:"column,omitempty"`
	Kind      string `json:"kind,omitempty" yaml:"kind,omitempty"` // of the object
	Namespace string `json:"namespace,omitempty" yaml:"namespace,omitempty"`
	Name      string `json:"name,omitempty" yaml:"name,omitempty"`
	Container string `json:"container,omitempty" yaml:"container,omitempty"`
	Field     string `json:"field,omitempty" yaml:"field,omitempty"` // spec.template.spec.containers[0].image
	Use       Use    `json:"use,omitempty" yaml:"use,omitempty"`
	State     string `json:"state,omitempty" yaml:"state,omitempty"` // on a node: created, running, exited
	Count     int    `json:"count,omitempty" yaml:"count,omitempty"` // that a list gives; 0: none
}

// String tells the place as the beginning of an error does.
func (p Place) String() string {
	var parts []string
	if p.File != "" {
		file := p.File
		if p.Line > 0 {
			file += fmt.Sprintf(":%d:%d", p.Line, p.Column)
		}
		parts = append(parts, file)
	}
	if p.Name != "" || p.Kind != "" {
		name := p.Name
		if p.Namespace != "" {
			name = p.Namespace + "/" + name
		}
		parts = append(parts, strings.TrimSpace(p.Kind+" "+name))
	}
	switch {
	case p.Field != "":
		parts = append(parts, p.Field)
	case p.Container != "":
		parts = append(parts, "container "+p.Container)
	}
	return strings.Join(parts, ": ")
}

// Problem is something that could not be read, or left doubt. Its Error is one
// line that begins with the place.
type Problem struct {
	Place Place
	Err   error
}

func (p *Problem) Error() string {
	if place := p.Place.String(); place != "" {
		return place + ": " + p.Err.Error()
	}
	return p.Err.Error()
}

func (p *Problem) Unwrap() error { return p.Err }

// Image is one image and everywhere it was found.
type Image struct {
	Reference Reference
	Found     []Place
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

	found    map[Reference][]Place
	problems []error
	unknown  []error
	redis    redis
}

// isMeant reports whether a place is in the namespace that is asked for.
func (l *List) isMeant(p Place) bool { return l.Namespace == "" || p.Namespace == l.Namespace }

// Add puts an image on the list.
func (l *List) Add(r Reference, p Place) {
	if !l.isMeant(p) {
		return
	}
	if l.found == nil {
		l.found = map[Reference][]Place{}
	}
	l.found[r] = append(l.found[r], p)
}

// AddProblem notes that the list may lack something.
func (l *List) AddProblem(err error) {
	if p, ok := errors.AsType[*Problem](err); ok && p.Place.Kind != "" && !l.isMeant(p.Place) {
		return
	}
	l.problems = append(l.problems, err)
}

// addFinding puts what was found in a manifest where it belongs.
func (l *List) addFinding(x finding) {
	problem := &Problem{Place: x.place, Err: x.err}
	switch {
	case x.unknown != nil && !l.isMeant(x.place):
	case x.unknown != nil:
		l.unknown = append(l.unknown, problem)
		if !l.AllowUnknown {
			l.AddProblem(problem)
		}
	case x.err != nil && isRedisSpec(x): // told with the operator's version
	case x.err != nil:
		l.AddProblem(problem)
	default:
		l.Add(x.ref, x.place)
	}
}

// Unknown are the places where something looks like an image and nothing says
// that it is one, in the order of reading, one line each.
func (l *List) Unknown() []error { return l.unknown }

// Problems are what could not be read or decided, in the order of reading, one
// line each. With any of them the list may be incomplete.
func (l *List) Problems() []error {
	all := slices.Concat(l.problems, l.redis.problems(l.isMeant))
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
	slices.SortFunc(all, func(a, b Image) int { return compareReferences(a.Reference, b.Reference) })
	return all
}

// References are the references of [List.Images].
func (l *List) References() []Reference {
	images := l.Images()
	refs := make([]Reference, len(images))
	for i, image := range images {
		refs[i] = image.Reference
	}
	return refs
}

// Registry is the images of one source registry.
type Registry struct {
	Registry string
	Images   []Image
}

// Registries are the images grouped by the registry in their names.
func (l *List) Registries() []Registry {
	by := map[string][]Image{}
	for _, image := range l.Images() {
		name := image.Reference.Registry()
		by[name] = append(by[name], image)
	}
	var all []Registry
	for _, name := range slices.Sorted(maps.Keys(by)) {
		all = append(all, Registry{name, by[name]})
	}
	return all
}
