package convert

import (
	"strings"

	"github.com/berth-registry/berth/internal/redact"
)

// header is an HTTP header of an endpoint. Its values may be secrets.
type header struct {
	name   string
	values []redact.Secret
}

// mergeHeaders joins the values of names that differ only in case.
func mergeHeaders(sorted []header) []header {
	var out []header
	for _, h := range sorted {
		if n := len(out); n > 0 && out[n-1].name == h.name {
			out[n-1].values = append(out[n-1].values, h.values...)
			continue
		}
		out = append(out, h)
	}
	return out
}

// isHeaderName reports whether s is a token of RFC 9110, section 5.6.2.
func isHeaderName(s string) bool {
	for _, c := range []byte(s) {
		alnum := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !alnum && strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 {
			return false
		}
	}
	return s != ""
}
