package redact

import "strings"

// Path gives a path that cannot be taken for a secret in the path's place, "" for
// any other text. A secret may have slashes inside, as AWS keys do, so a relative
// path is shown only if it has the ending of a file.
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
