package syntax

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Error is one mistake in a RegistryConfig or in a file that it names. Its text holds no secret.
type Error struct {
	// File is the path (or name) of the RegistryConfig.
	File string
	// Line and Column start at 1 and count characters. They are 0 for a mistake without a
	// position, such as a file that cannot be read.
	Line, Column int
	// Field is the path of the field: mirrors[0].endpoints[1].url.
	Field string
	// Value is the value there, "" if it must not be shown.
	Value string
	// Message says what to write instead.
	Message string
	// Err is the cause, nil for most mistakes.
	Err error
}

// Error returns file:line:column: field: "value": message.
func (e *Error) Error() string {
	return formatLocation(e.File, e.Line, e.Column, e.Field) + quoted(e.Value) + e.Message
}

// Unwrap returns the cause, such as an [io/fs.PathError].
func (e *Error) Unwrap() error { return e.Err }

// Errors holds all mistakes of one RegistryConfig, ordered by position.
type Errors []*Error

// Error returns one line for each mistake.
func (es Errors) Error() string {
	lines := make([]string, len(es))
	for i, e := range es {
		lines[i] = e.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap lets [errors.Is] and [errors.As] find each mistake.
func (es Errors) Unwrap() []error {
	errs := make([]error, len(es))
	for i, e := range es {
		errs[i] = e
	}
	return errs
}

// Warning reports a setting that works but is probably a mistake. Its text holds no secret.
type Warning struct {
	File         string
	Line, Column int
	Field        string
	Message      string
}

// String returns file:line:column: field: message.
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

// maxShown is the largest number of characters of a value that an error shows.
const maxShown = 120

func quoted(value string) string {
	if value == "" {
		return ""
	}
	return strconv.Quote(Cut(value)) + ": "
}

// Cut shortens a long value so that the message stays readable.
func Cut(value string) string {
	if runes := []rune(value); len(runes) > maxShown {
		return string(runes[:maxShown]) + "…"
	}
	return value
}

// maxErrors limits the mistakes reported for one document, so that a wrong file of 1 MiB does not
// cause a report of many MiB.
const maxErrors = 500

// Report collects the errors and warnings of one document.
type Report struct {
	File     string
	errors   Errors
	warnings []Warning
}

// Full reports that the limit is reached and further errors are dropped.
func (r *Report) Full() bool { return len(r.errors) == maxErrors }

// Add adds an error of the document, up to [maxErrors].
func (r *Report) Add(e *Error) {
	if r.Full() {
		return
	}
	e.File = r.File
	r.errors = append(r.errors, e)
}

// AddWarning adds a warning of the document.
func (r *Report) AddWarning(w Warning) {
	w.File = r.File
	r.warnings = append(r.warnings, w)
}

// Result returns the errors ordered by position, nil if there are none.
func (r *Report) Result() error {
	if len(r.errors) == 0 {
		return nil
	}
	slices.SortStableFunc(r.errors, func(a, b *Error) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	if r.Full() {
		last := r.errors[len(r.errors)-1]
		r.errors = append(r.errors, &Error{File: r.File, Line: last.Line, Column: last.Column,
			Message: fmt.Sprintf("only the first %d errors are shown", maxErrors)})
	}
	return r.errors
}

// Warnings returns the warnings ordered by position.
func (r *Report) Warnings() []Warning {
	slices.SortStableFunc(r.warnings, func(a, b Warning) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return r.warnings
}
