package install

import (
	"context"
	"errors"
	"fmt"
)

// Plan is what to do, one section for each daemon.
type Plan struct {
	Sections []Section

	apart bool // the sections are independent
}

// Section is what to do to containerd, to kubelet or to Docker.
type Section struct {
	Name string
	// Found describes the node; Notes are what to know or to do by hand. One sentence each.
	Found, Notes []string
	Changes      []Change
	// Restart is the restart that is part of it; nil for none.
	Restart *Restart
	// Err is why it cannot be done.
	Err error

	do func(context.Context) error // nil: nothing to do
}

// Change is one file to change.
type Change struct {
	Path string
	// What is "write", "change", "remove" or "put back". Detail is what cannot be shown as text.
	What, Detail string
	// Before and After are its content; nil if it is missing, or is a program.
	Before, After []byte
	// Foreign is true for a foreign file; its values that may be secrets are not shown.
	Foreign bool
}

// Restart is one restart of a service.
type Restart struct {
	Unit string
	// Why is the reason, Means the consequence.
	Why, Means string
}

// Needed reports whether there is anything to do.
func (p Plan) Needed() bool {
	for _, s := range p.Sections {
		if s.do != nil {
			return true
		}
	}
	return false
}

// Blocked is why no part of the plan can be carried out; nil if a part can.
func (p Plan) Blocked() error {
	if p.apart && p.Needed() {
		return nil
	}
	return p.Err()
}

// Err joins the reasons why the plan, or a part of it, cannot be carried out.
func (p Plan) Err() error {
	var errs []error
	for _, s := range p.Sections {
		if s.Err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", s.Name, s.Err))
		}
	}
	return errors.Join(errs...)
}
