// Package redact keeps secrets out of all output: logs, errors, metrics, status pages and JSON.
//
// A secret is a [Secret]. Only [Secret.Reveal] returns its value, so a search for that name finds
// every place where a secret leaves the process. [Address], [Path] and [MaybeSecret] decide what
// may be shown of other text. Start reading at [Secret].
package redact

import "log/slog"

// Placeholder replaces a secret in output.
const Placeholder = "[redacted]"

// Secret is a value that must not be shown. Every way of printing it gives [Placeholder], or
// nothing if it is empty.
type Secret struct{ value string }

// New wraps value.
func New(value string) Secret { return Secret{value} }

// Reveal returns the value. Use it only for a file of mode 0600 or a request to the host that the
// secret is for.
func (s Secret) Reveal() string { return s.value }

// IsZero reports whether the secret is empty.
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
