// Package reference holds image names and the places that images are moved between.
//
// It promises that a name means the same here as in containerd. Start reading at [Parse];
// [ParseTarget] and [ParseLocation] read the values of --to and --from.
package reference

import (
	"fmt"
	"slices"
	"strings"

	"github.com/berth-registry/berth/internal/dockerhub"
	"github.com/berth-registry/berth/internal/imagename"
)

// Reference is a complete image name, as containerd resolves it: registry, repository, and a tag, a
// digest or both. Two references name the same image exactly if they are equal (==), so a Reference
// can be a map key. The zero value names nothing.
type Reference struct {
	registry, repository, tag, digest string
}

// Parse reads an image name as people, manifests and container runtimes write it, and completes it
// as containerd does: "busybox" is docker.io/library/busybox:latest. Unlike containerd it keeps a
// tag in front of a digest. An error quotes s, without any login in it, and says what to write.
func Parse(s string) (Reference, error) {
	if reason := unlikeImage(s); reason != "" {
		return Reference{}, fmt.Errorf("image %s: %s", Quote(s), reason)
	}
	n, err := imagename.Parse(s)
	if err != nil {
		return Reference{}, fmt.Errorf("image %s: %w", Quote(s), err)
	}
	r := Reference{registry: n.Registry, repository: n.Repository, tag: n.Tag, digest: n.Digest}
	if r.tag == "" && r.digest == "" {
		r.tag = "latest"
	}
	return r, nil
}

// unlikeImage returns why s is no image name where that is clearer than the fault in its form, or
// "".
func unlikeImage(s string) string {
	switch {
	case len(s) > imagename.MaxLength:
		return "" // its length is the fault
	case IsPlaceholder(s):
		return "holds a placeholder that something else fills in; fill it in first (a chart: helm template)"
	case strings.Contains(s, "://"):
		return "an image name has no scheme; write registry/repository:tag"
	case strings.ContainsAny(s, " \t\r\n"):
		return "an image name has no spaces"
	case strings.HasPrefix(s, "sha256:"):
		return "is the ID of an image and not its name"
	}
	return ""
}

// Quote quotes s for an error of one line: shortened, and without a login before the host.
func Quote(s string) string {
	scheme, rest, ok := strings.Cut(s, "://")
	if ok {
		scheme += "://"
	} else {
		scheme, rest = "", s
	}
	authority, path, slash := strings.Cut(rest, "/")
	if at := strings.LastIndexByte(authority, '@'); at >= 0 && !IsDigest(authority[at+1:]) {
		s = scheme + "…@" + authority[at+1:]
		if slash {
			s += "/" + path
		}
	}
	const shown = 160
	if len(s) > shown {
		s = strings.ToValidUTF8(s[:shown], "") + "…"
	}
	return fmt.Sprintf("%q", s)
}

// IsDigest reports whether s is a digest: algorithm:hex.
func IsDigest(s string) bool {
	algorithm, _, _ := strings.Cut(s, ":")
	return slices.Contains([]string{"sha256", "sha384", "sha512"}, algorithm)
}

// IsPlaceholder reports whether s holds a placeholder that a template engine, an operator or a
// shell replaces: {{ }}, $( ), ${ } or <% %>.
func IsPlaceholder(s string) bool {
	for _, mark := range []string{"{{", "}}", "$(", "${", "<%"} {
		if strings.Contains(s, mark) {
			return true
		}
	}
	return false
}

// Registry is the host[:port] of the image name, as written; docker.io for Docker Hub. containerd
// finds its certs.d directory by it.
func (r Reference) Registry() string { return r.registry }

// Repository is the path on the registry; official images of Docker Hub have library/.
func (r Reference) Repository() string { return r.repository }

// Name is registry and repository, without tag and digest.
func (r Reference) Name() string { return r.registry + "/" + r.repository }

// Tag is the tag: latest if the name had neither tag nor digest, "" if it had only a digest.
func (r Reference) Tag() string { return r.tag }

// Digest is the digest with its algorithm, sha256:…, or "".
func (r Reference) Digest() string { return r.digest }

// IsZero reports whether r names nothing.
func (r Reference) IsZero() bool { return r == Reference{} }

// String is the complete reference: registry/repository[:tag][@digest].
func (r Reference) String() string {
	if r.IsZero() {
		return ""
	}
	return r.Name() + r.Suffix()
}

// Suffix is [:tag][@digest].
func (r Reference) Suffix() string {
	s := ""
	if r.tag != "" {
		s = ":" + r.tag
	}
	if r.digest != "" {
		s += "@" + r.digest
	}
	return s
}

// Familiar is the shortest form of the reference, as docker prints it: busybox:latest. It is the
// full form where the short one would be read as something else.
func (r Reference) Familiar() string {
	path := strings.TrimPrefix(r.Name(), dockerhub.Name+"/")
	if official, ok := strings.CutPrefix(path, dockerhub.Official); ok && !strings.Contains(official, "/") {
		path = official
	}
	short := path + r.Suffix()
	if again, err := Parse(short); err != nil || again != r {
		return r.String()
	}
	return short
}

// MarshalText returns [Reference.String], for JSON and YAML.
func (r Reference) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText is [Parse].
func (r *Reference) UnmarshalText(text []byte) error {
	parsed, err := Parse(string(text))
	if err != nil {
		return err
	}
	*r = parsed
	return nil
}

// HasSuffix reports whether text has a tag or a digest.
func HasSuffix(text string) bool {
	return strings.ContainsAny(text[strings.LastIndexByte(text, '/')+1:], ":@")
}

// SuffixOf returns the tag and digest of text as written, with : and @; "" if it has none.
func SuffixOf(text string) string {
	begin := strings.LastIndexByte(text, '/') + 1
	if at := strings.IndexAny(text[begin:], ":@"); at >= 0 {
		return text[begin+at:]
	}
	return ""
}
