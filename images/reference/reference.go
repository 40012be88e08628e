// Package reference holds image names and the places that images are moved between.
//
// It promises that a name means the same here as in containerd. Start reading at [Parse];
// [ParseTarget] and [ParseLocation] read the values of --to and --from.
package reference

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/distribution/reference"
)

// Reference is a complete image name, as containerd resolves it: registry, repository, and a tag, a
// digest or both. Two references name the same image exactly if they are equal (==), so a Reference
// can be a map key. The zero value names nothing.
type Reference struct {
	registry, repository, tag, digest string
}

// MaxLength is an upper bound for every reference: registry 255, repository 255, tag 128, digest
// 135 (sha512).
const MaxLength = 1024

// Parse reads an image name as people, manifests and container runtimes write it, and completes it
// as containerd does: "busybox" is docker.io/library/busybox:latest. Unlike containerd it keeps a
// tag in front of a digest. The syntax is that of https://github.com/distribution/reference. An
// error quotes s, without any login in it, and says what to write.
func Parse(s string) (Reference, error) {
	named, err := parseNamed(s)
	if err != nil {
		return Reference{}, err
	}
	r := Reference{registry: reference.Domain(named), repository: reference.Path(named)}
	if t, ok := named.(reference.Tagged); ok {
		r.tag = t.Tag()
	}
	if d, ok := named.(reference.Digested); ok {
		r.digest = d.Digest().String()
	}
	if r.tag == "" && r.digest == "" {
		r.tag = "latest"
	}
	return r, nil
}

func parseNamed(s string) (reference.Named, error) {
	if reason := unlikeImage(s); reason != "" {
		return nil, fmt.Errorf("image %s: %s", Quote(s), reason)
	}
	named, err := reference.ParseNormalizedNamed(s)
	if err != nil {
		return nil, fmt.Errorf("image %s: %s", Quote(s), explain(s, err))
	}
	if reference.Path(named) == "" {
		return nil, fmt.Errorf("image %s: names a registry and no repository", Quote(s))
	}
	return named, nil
}

// unlikeImage returns why s is no image name where our reason is clearer than the library's, or "".
func unlikeImage(s string) string {
	switch {
	case s == "":
		return "is empty"
	case len(s) > MaxLength:
		return fmt.Sprintf("is longer than the %d characters that an image name can have", MaxLength)
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

// explain words an error of the library so that it says what to write.
func explain(s string, err error) string {
	switch {
	case errors.Is(err, reference.ErrNameTooLong):
		return fmt.Sprintf("the repository is longer than %d characters", reference.RepositoryNameTotalLengthMax)
	case strings.Contains(err.Error(), "must be lowercase"):
		return "the repository must be in lower case"
	case strings.Contains(err.Error(), "64-byte hexadecimal"):
		return "is the ID of an image and not its name"
	}
	if _, digest, ok := strings.Cut(s, "@"); ok {
		if _, err := reference.ParseNormalizedNamed("x@" + digest); err != nil {
			return "the digest is malformed; sha256: and 64 hexadecimal digits are needed"
		}
	}
	return "is not of the form registry/repository:tag"
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

// Familiar is the shortest form of the reference, as docker prints it: busybox:latest.
func (r Reference) Familiar() string {
	named, err := reference.ParseNormalizedNamed(r.String())
	if err != nil {
		return r.String()
	}
	return reference.FamiliarString(named)
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

// HasHost reports whether an image or a repository is written with a registry in front.
func HasHost(text string) bool {
	first, _, ok := strings.Cut(text, "/")
	return ok && (strings.ContainsAny(first, ".:") || first == "localhost")
}
