package redact

import "strings"

// Path returns written if it is a path that cannot be a secret in the wrong place, otherwise "". A
// secret may contain slashes, as AWS keys do, so a relative path is shown only with a file's
// ending.
func Path(written string) string {
	path := strings.HasPrefix(written, "/") || strings.HasPrefix(written, "./") || strings.HasPrefix(written, "../") ||
		fileEnding.MatchString(written)
	more := strings.ContainsAny(strings.ReplaceAll(written, ":/", "/"), ":=@?& ") // "file password:hunter2"
	control := strings.ContainsFunc(written, func(r rune) bool { return r < 0x20 || r == 0x7f })
	if !path || more || control || MaybeSecret(written) {
		return ""
	}
	return written
}

var fileEnding = pattern{source: `\.(json|ya?ml|crt|cert?|pem|key|txt|conf|ini)$`}
