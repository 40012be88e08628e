package redact

import (
	"net/netip"
	"strings"
)

// Address returns what may be shown of an address, with or without a scheme: no login and no query.
// It returns "" for text that is not an address, or that contains a possible secret.
func Address(written string) string {
	scheme, rest := "", written
	if before, after, found := strings.Cut(written, "://"); found {
		scheme, rest = before+"://", after
	}
	query := ""
	if cut := strings.IndexAny(rest, "?#"); cut >= 0 {
		if strings.LastIndexByte(rest, '@') > cut {
			return "" // the ? may be part of the login, or the @ part of the query
		}
		if cut+1 < len(rest) {
			query = Placeholder
		}
		query = rest[cut:cut+1] + query
		rest = rest[:cut]
	}
	login := ""
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		// A host must follow the @; otherwise the @ may be part of a password.
		login, rest = Placeholder+"@", rest[at+1:]
		if !hasDomain(rest) {
			return ""
		}
	}
	if !hasDomain(rest) && (scheme == "" || !plainName.MatchString(rest)) || !IsAddress(scheme+rest) {
		return ""
	}
	return scheme + login + rest + query
}

// addressForm matches an address without login and query: an optional scheme, a host, a numeric
// port, a path.
var addressForm = pattern{
	source: `^([A-Za-z][A-Za-z0-9+.-]{0,9}://)?(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9*._-]*)(:[0-9]{1,5})?(/[A-Za-z0-9._~/+=%-]*)?$`,
}

// IsAddress reports whether text has the form of an address or registry name, without login and
// query, and contains no possible secret.
func IsAddress(text string) bool {
	if _, err := netip.ParseAddr(text); err == nil {
		return true
	}
	return len(text) <= 500 && addressForm.MatchString(text) && !MaybeSecret(text)
}

// hasDomain reports whether an address without a scheme cannot be a mere word, such as a password in
// the wrong place: its host is localhost, an IP address, or a name with a dot and a domain's
// ending.
func hasDomain(address string) bool {
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

// plainName matches the start of a host without a dot that may be shown after a scheme.
var plainName = pattern{source: `^([A-Za-z-]*([:/]|$)|[A-Za-z0-9-]+:[0-9])`}

// domainEnd matches the last label of a domain name.
var domainEnd = pattern{source: `^([A-Za-z]{2,24}|xn--[A-Za-z0-9-]+)$`}
