package redact

import (
	"net/netip"
	"strings"
)

// Address gives what may be shown of an address that people wrote, with or without
// a scheme: no login and no query. It is "" for a text that is no address, or in
// which something looks like a secret.
func Address(written string) string {
	scheme, rest := "", written
	if before, after, found := strings.Cut(written, "://"); found {
		scheme, rest = before+"://", after
	}
	query := ""
	if cut := strings.IndexAny(rest, "?#"); cut >= 0 {
		if strings.LastIndexByte(rest, '@') > cut {
			return "" // the login may hold the ?, or the query the @
		}
		if cut+1 < len(rest) {
			query = Placeholder
		}
		query = rest[cut:cut+1] + query
		rest = rest[:cut]
	}
	login := ""
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		// Behind the @ there must be a host, or it is one of a password.
		login, rest = Placeholder+"@", rest[at+1:]
		if !dotted(rest) {
			return ""
		}
	}
	if !dotted(rest) && (scheme == "" || !plainName.MatchString(rest)) || !IsAddress(scheme+rest) {
		return ""
	}
	return scheme + login + rest + query
}

// addressForm is an address without login and query: a scheme that may be absent,
// a host, a port that is a number, a path.
var addressForm = pattern{
	source: `^([A-Za-z][A-Za-z0-9+.-]{0,9}://)?(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9*._-]*)(:[0-9]{1,5})?(/[A-Za-z0-9._~/+=%-]*)?$`,
}

// IsAddress reports whether text has the form of an address, or of a registry's
// name, without login and query, and nothing in it looks like a secret.
func IsAddress(text string) bool {
	if _, err := netip.ParseAddr(text); err == nil {
		return true
	}
	return len(text) <= 500 && addressForm.MatchString(text) && !MaybeSecret(text)
}

// dotted reports whether an address without a scheme cannot be a mere word, such
// as a password in the wrong place: its host is localhost, an IP address, or has a
// dot and an end like that of a domain.
func dotted(address string) bool {
	host, _, _ := strings.Cut(address, "/")
	if strings.HasPrefix(host, "[") || host == "*" || host == ".." {
		return true
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	name, _, _ := strings.Cut(host, ":")
	if _, err := netip.ParseAddr(name); err == nil || strings.EqualFold(name, "localhost") {
		return true
	}
	dot := strings.LastIndexByte(name, '.')
	return dot >= 0 && domainEnd.MatchString(name[dot+1:])
}

// plainName is how a host without a dot begins that is shown behind a scheme.
var plainName = pattern{source: `^([A-Za-z-]*([:/]|$)|[A-Za-z0-9-]+:[0-9])`}

// domainEnd is the last label of a name.
var domainEnd = pattern{source: `^([A-Za-z]{2,24}|xn--[A-Za-z0-9-]+)$`}
