package draft

import (
	"strings"

	"github.com/berth-registry/berth/internal/redact"
)

// Header is an HTTP header of an endpoint. Its values may be secrets.
type Header struct {
	Name   string
	Values []redact.Secret
}

// MergeHeaders joins the values of names that differ only in case.
func MergeHeaders(sorted []Header) []Header {
	var out []Header
	for _, h := range sorted {
		if n := len(out); n > 0 && out[n-1].Name == h.Name {
			out[n-1].Values = append(out[n-1].Values, h.Values...)
			continue
		}
		out = append(out, h)
	}
	return out
}

// IsHeaderName reports whether s is a token of RFC 9110, section 5.6.2.
func IsHeaderName(s string) bool {
	for _, c := range []byte(s) {
		alnum := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !alnum && strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 {
			return false
		}
	}
	return s != ""
}
