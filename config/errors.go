package config

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Error is one mistake in a RegistryConfig or in a file that it names. Its
// text never holds a secret.
type Error struct {
	// File is the path (or name) of the RegistryConfig.
	File string
	// Line and Column begin at 1 and count characters; 0 when the mistake
	// has no place, such as a file that cannot be read.
	Line, Column int
	// Field is the path of the field: mirrors[0].endpoints[1].url.
	Field string
	// Value is what stands there, "" when it is not to be shown.
	Value string
	// Message says what to write instead.
	Message string
	// Err is what made the mistake known, nil for most.
	Err error
}

// Error gives file:line:column: field: "value": message.
func (e *Error) Error() string {
	return formatLocation(e.File, e.Line, e.Column, e.Field) + quoted(e.Value) + e.Message
}

// Unwrap gives the cause, such as an [io/fs.PathError].
func (e *Error) Unwrap() error { return e.Err }

// Errors are all the mistakes of one RegistryConfig, in the order in which
// they stand there.
type Errors []*Error

// Error gives one line for each mistake.
func (es Errors) Error() string {
	lines := make([]string, len(es))
	for i, e := range es {
		lines[i] = e.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap serves [errors.Is] and [errors.As].
func (es Errors) Unwrap() []error {
	errs := make([]error, len(es))
	for i, e := range es {
		errs[i] = e
	}
	return errs
}

// Warning is something that works and is probably not meant. Its text never
// holds a secret.
type Warning struct {
	File         string
	Line, Column int
	Field        string
	Message      string
}

// String gives file:line:column: field: message.
func (w Warning) String() string {
	return formatLocation(w.File, w.Line, w.Column, w.Field) + w.Message
}

func formatLocation(file string, line, column int, field string) string {
	var b strings.Builder
	b.WriteString(file)
	if line > 0 {
		fmt.Fprintf(&b, ":%d:%d", line, column)
	}
	b.WriteString(": ")
	if field != "" {
		b.WriteString(field + ": ")
	}
	return b.String()
}

// maxShown is how many characters of a value an error repeats.
const maxShown = 120

func quoted(value string) string {
	if value == "" {
		return ""
	}
	return strconv.Quote(cut(value)) + ": "
}

// cut shortens a value that would make a message unreadable.
func cut(value string) string {
	if runes := []rune(value); len(runes) > maxShown {
		return string(runes[:maxShown]) + "…"
	}
	return value
}

// maxErrors is how many mistakes one document may report: a wrong file of a
// megabyte must not become a report of many.
const maxErrors = 500

// report collects what is wrong with one document.
type report struct {
	file     string
	errors   Errors
	warnings []Warning
}

// full reports that no more errors are kept, so that none need be made.
func (r *report) full() bool { return len(r.errors) == maxErrors }

func (r *report) add(e *Error) {
	if r.full() {
		return
	}
	e.File = r.file
	r.errors = append(r.errors, e)
}

// result gives the sorted errors, nil when there are none.
func (r *report) result() error {
	if len(r.errors) == 0 {
		return nil
	}
	slices.SortStableFunc(r.errors, func(a, b *Error) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	if r.full() {
		last := r.errors[len(r.errors)-1]
		r.errors = append(r.errors, &Error{File: r.file, Line: last.Line, Column: last.Column,
			Message: fmt.Sprintf("there may be more; these are %d errors", maxErrors)})
	}
	return r.errors
}

// sortedWarnings gives the warnings by place.
func (r *report) sortedWarnings() []Warning {
	slices.SortStableFunc(r.warnings, func(a, b Warning) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return r.warnings
}
