package inventory

import (
	"net/netip"
	"path"
	"slices"
	"strings"

	"github.com/berth-registry/berth/images/document"
	"github.com/berth-registry/berth/images/reference"
	"github.com/berth-registry/berth/internal/imagename"
)

// look is the form of a text, independent of where it is written.
type look uint8

const (
	lookNone     look = iota
	lookBare          // redis: only a name
	lookPath          // acme/db
	lookNameTag       // redis:7; also the form of host:port
	lookPathTag       // acme/db:2
	lookHostPath      // quay.io/acme/db: containerd takes latest
	lookFull          // quay.io/acme/db:2: registry, path, and tag or digest
)

// lookOf decides by the text alone. URLs, file paths, taints, CIDRs and lines of source code are
// lookNone, although some of them parse as a reference.
func lookOf(text string) look {
	if text == "" || len(text) > imagename.MaxLength || strings.IndexByte("/.~-", text[0]) >= 0 ||
		strings.Contains(text, "://") || strings.Contains(text, "..") || !isAlphanumeric(text[len(text)-1]) {
		return lookNone
	}
	if _, err := reference.Parse(text); err != nil {
		return lookNone
	}
	first, rest, slash := strings.Cut(text, "/")
	suffix := reference.SuffixOf(text)
	if hasFileName(strings.TrimSuffix(text, suffix), suffix) {
		return lookNone
	}
	switch {
	case !slash && suffix == "":
		return lookBare
	case !slash && strings.HasPrefix(suffix, "@"):
		return lookPathTag // nothing else has a digest
	case !slash && strings.Trim(suffix, ":0123456789") == "" && strings.Contains(strings.TrimSuffix(text, suffix), "."):
		return lookNone // host:port
	case !slash:
		return lookNameTag
	case isTaint(suffix) || isCIDR(first, rest):
		return lookNone
	case !isRegistryHost(first):
		if suffix == "" {
			return lookPath
		}
		return lookPathTag
	case suffix == "":
		return lookHostPath
	}
	return lookFull
}

// isRegistryHost reports whether a registry can have this name: localhost, an address, or a domain.
// 1.2 and v1.2-rc are none; the domains of Kubernetes' label names serve no images.
func isRegistryHost(host string) bool {
	name, port, hasPort := strings.Cut(host, ":")
	if strings.HasPrefix(host, "[") || name == "localhost" {
		return true
	}
	if !strings.Contains(name, ".") {
		return hasPort && port != ""
	}
	if _, err := netip.ParseAddr(name); err == nil {
		return true
	}
	name = strings.ToLower(name)
	if name != "registry.k8s.io" && !strings.HasSuffix(name, ".registry.k8s.io") {
		for _, domain := range []string{"kubernetes.io", "k8s.io", "x-k8s.io"} {
			if name == domain || strings.HasSuffix(name, "."+domain) {
				return false
			}
		}
	}
	top := name[strings.LastIndexByte(name, '.')+1:]
	return len(top) > 1 && strings.Trim(top, "abcdefghijklmnopqrstuvwxyz") == "" || strings.HasPrefix(top, "xn--")
}

// isTaint recognises the effect of a taint, as in acme.io/gpu:NoSchedule.
func isTaint(suffix string) bool {
	return slices.Contains([]string{":NoSchedule", ":PreferNoSchedule", ":NoExecute"}, suffix)
}

// isCIDR recognises 10.0.0.0/8, also with a port.
func isCIDR(first, rest string) bool {
	if _, err := netip.ParseAddr(first); err != nil {
		return false
	}
	bits, _, _ := strings.Cut(rest, ":")
	return strings.Trim(bits, "0123456789") == ""
}

// hasFileName recognises a line of a source file (acme.io/x/main.go:12), and a file without a tag
// (cdn.acme.io/logo.png).
func hasFileName(name, suffix string) bool {
	switch path.Ext(name) {
	case ".go", ".c", ".cc", ".cpp", ".h", ".py", ".js", ".ts", ".java", ".rs", ".rb", ".sh", ".yaml", ".yml", ".json", ".html", ".txt", ".md", ".conf":
		return suffix == "" || strings.Trim(suffix, ":0123456789") == ""
	case ".png", ".svg", ".jpg", ".jpeg", ".gif", ".webp", ".ico", ".iso", ".img", ".qcow2", ".vmdk", ".raw", ".ova", ".vhd",
		".tar", ".tgz", ".gz", ".zip", ".xz", ".bz2", ".zst", ".deb", ".rpm", ".pem", ".crt", ".key", ".sock":
		return suffix == ""
	}
	return false
}

func isAlphanumeric(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

// mention is a part of a text that may be a reference.
type mention struct {
	document.Span
	look look
}

// mentions splits a text at spaces, commas, semicolons, quotes and brackets. A "key=" before a part
// and punctuation after it are left out.
func mentions(text string) []mention {
	var all []mention
	for at := 0; at < len(text); {
		if isSeparator(text[at]) && !isAddress(text, at, at) {
			at++
			continue
		}
		end := at
		for end < len(text) && (!isSeparator(text[end]) || isAddress(text, at, end)) {
			end++
		}
		m := mention{Span: document.Span{Start: at, End: end}}
		at = end
		if equals := strings.LastIndexByte(text[m.Start:m.End], '='); equals >= 0 {
			m.Start += equals + 1
		}
		for m.End > m.Start && strings.IndexByte(".:!?", text[m.End-1]) >= 0 {
			m.End--
		}
		m.look = lookOf(text[m.Start:m.End])
		if m.look == lookNone {
			m.afterColon(text)
		}
		all = append(all, m)
	}
	return all
}

// afterColon drops a name and a colon, as in exporter:quay.io/acme/exporter:1, if a reference with
// a path follows.
func (m *mention) afterColon(text string) {
	name, rest, ok := strings.Cut(text[m.Start:m.End], ":")
	if !ok || strings.ContainsAny(name, "/@.") {
		return
	}
	if l := lookOf(rest); l == lookFull || l == lookPathTag {
		m.Start += len(name) + 1
		m.look = l
	}
}

func isSeparator(c byte) bool {
	return c <= ' ' || strings.IndexByte(",;\"'`(){}[]<>|", c) >= 0
}

// isAddress reports whether the bracket at an offset belongs to an IPv6 address
// that the part from begin on starts with, [::1]:5000/x:1, also behind "key=".
func isAddress(text string, begin, at int) bool {
	part := text[begin:min(at+1, len(text))]
	if equals := strings.LastIndexByte(part, '='); equals >= 0 {
		part = part[equals+1:]
	}
	switch {
	case part == "[":
		rest, ok := strings.CutPrefix(text[at:min(at+64, len(text))], "[")
		address, _, closed := strings.Cut(rest, "]")
		_, err := netip.ParseAddr(address)
		return ok && closed && err == nil
	case strings.HasPrefix(part, "[") && strings.HasSuffix(part, "]"):
		_, err := netip.ParseAddr(part[1 : len(part)-1])
		return err == nil
	}
	return false
}
