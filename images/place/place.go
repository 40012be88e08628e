package place

import (
	"fmt"
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
