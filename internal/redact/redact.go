// Package redact keeps secrets out of everything that people and machines
// read: logs, errors, metrics, status pages and JSON. A secret is carried as a
// [Secret]; only [Secret.Reveal] gives its value, so that every place where a
// secret leaves the process can be found by searching for that one name.
package redact

import "log/slog"

// Placeholder is what stands where a secret would be.
const Placeholder = "[redacted]"

// Secret is a value that must not be shown. Every way of printing it gives
// [Placeholder], or nothing when it is empty.
type Secret struct{ value string }

// New wraps value.
func New(value string) Secret { return Secret{value} }

// Reveal gives the value itself. Its result goes to a file of mode 0600 or
// into a request to the host it is meant for, and nowhere else.
func (s Secret) Reveal() string { return s.value }

// IsZero reports whether there is no secret at all.
func (s Secret) IsZero() bool { return s.value == "" }

// String implements [fmt.Stringer].
func (s Secret) String() string {
	if s.IsZero() {
		return ""
	}
	return Placeholder
}

// GoString implements [fmt.GoStringer] (%#v).
func (s Secret) GoString() string { return s.String() }

// MarshalText implements [encoding.TextMarshaler]; it serves JSON and YAML.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue implements [slog.LogValuer].
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }
