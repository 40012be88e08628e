// Package place says where an image was found, for lists and for errors.
package place

import (
	"fmt"
	"strings"
)

// Use is the role in which an image was found.
type Use string

// The uses of an image.
const (
	UseContainer Use = "container"   // of a pod or pod template, including init and ephemeral containers
	UseVolume    Use = "volume"      // mounted into a pod
	UseField     Use = "field"       // named by a custom resource or by values of a chart
	UseEnv       Use = "environment" // value of a variable, from which an operator starts pods
	UseArgument  Use = "argument"    // value of a flag, likewise
	UseData      Use = "data"        // value in a ConfigMap that has the form of an image
	UsePause     Use = "pause"       // the pause image, which holds a pod's namespaces; kubelet never names it
	UsePinned    Use = "pinned"      // protected from garbage collection by the runtime
	UseUnused    Use = "unused"      // on the node, and no container uses it
	UseListed    Use = "listed"      // named by a plain list
)

// Place is where an image was found. Fields that do not apply are empty.
type Place struct {
	File      string `json:"file,omitempty" yaml:"file,omitempty"` // as given; - is standard input
	Line      int    `json:"line,omitempty" yaml:"line,omitempty"` // from 1
	Column    int    `json:"column,omitempty" yaml:"column,omitempty"`
	Kind      string `json:"kind,omitempty" yaml:"kind,omitempty"` // of the object
	Namespace string `json:"namespace,omitempty" yaml:"namespace,omitempty"`
	Name      string `json:"name,omitempty" yaml:"name,omitempty"`
	Container string `json:"container,omitempty" yaml:"container,omitempty"`
	Field     string `json:"field,omitempty" yaml:"field,omitempty"` // spec.template.spec.containers[0].image
	Use       Use    `json:"use,omitempty" yaml:"use,omitempty"`
	State     string `json:"state,omitempty" yaml:"state,omitempty"` // on a node: created, running, exited
	Count     int    `json:"count,omitempty" yaml:"count,omitempty"` // as the list gives it; 0: none
}

// String is the place as errors begin with it.
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

// Problem is an input that could not be read or is ambiguous. Error is one line that begins with
// the place.
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
