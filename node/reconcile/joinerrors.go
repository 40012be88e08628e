package reconcile

import (
	"errors"
	"strings"
)

// joinDistinct joins errors, each text once: a file that cannot be written is often tried in
// two ways.
func joinDistinct(errs ...error) error {
	var all []error
	seen := map[string]bool{}
	for _, err := range errs {
		for _, one := range flatten(err) {
			if text := one.Error(); !seen[text] {
				seen[text] = true
				all = append(all, one)
			}
		}
	}
	return errors.Join(all...)
}

// flatten undoes [errors.Join]. An error with a text of its own stays whole.
func flatten(err error) []error {
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	causes := joined.Unwrap()
	texts := make([]string, len(causes))
	for i, cause := range causes {
		texts[i] = cause.Error()
	}
	if strings.Join(texts, "\n") != err.Error() {
		return []error{err}
	}
	var all []error
	for _, cause := range causes {
		all = append(all, flatten(cause)...)
	}
	return all
}
