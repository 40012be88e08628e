package reference

import (
	"fmt"
	"os"
	"strings"
)

// Location is a source or destination of a copy: a registry, with or without a path, or a directory
// in the OCI image layout.
type Location struct {
	target Target
	dir    string
}

// ParseLocation reads the value of --to and --from: registry[:port][/path] or oci:DIR.
func ParseLocation(s string) (Location, error) {
	if dir, ok := strings.CutPrefix(s, "oci:"); ok {
		if dir == "" {
			return Location{}, fmt.Errorf("%q: has no directory; write oci:DIR", s)
		}
		return Location{dir: dir}, nil
	}
	if strings.HasPrefix(s, "/") || strings.HasPrefix(s, ".") {
		return Location{}, fmt.Errorf("%q: is no registry; for a directory write oci:%s", s, s)
	}
	t, err := ParseTarget(s)
	return Location{target: t}, err
}

// ParseSource reads the value of --from: oci:DIR or DIR.
func ParseSource(s string) (Location, error) {
	if strings.HasPrefix(s, "oci:") {
		return ParseLocation(s)
	}
	if info, err := os.Stat(s); err != nil || !info.IsDir() {
		return Location{}, fmt.Errorf("%q: is no directory; write oci:DIR", s)
	}
	return Location{dir: s}, nil
}

// Layout is the directory; "" for a registry.
func (l Location) Layout() string { return l.dir }

// Target is the registry; the zero value for a directory.
func (l Location) Target() Target { return l.target }

// String is the form that [ParseLocation] reads.
func (l Location) String() string {
	if l.dir != "" {
		return "oci:" + l.dir
	}
	return l.target.String()
}
