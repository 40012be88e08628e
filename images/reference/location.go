package reference

import (
	"fmt"
	"os"
	"strings"
)

// Location is a source or destination of a copy: a registry, with or without a path, a directory in
// the OCI image layout, or a bundle, which is such a directory in one file.
type Location struct {
	target Target
	dir    string
	bundle string
}

// IsBundle reports whether a path is that of a bundle: FILE.tar or FILE.tar.zst, or the first part
// of one.
func IsBundle(path string) bool {
	path = strings.TrimSuffix(path, ".000")
	return strings.HasSuffix(path, ".tar") || strings.HasSuffix(path, ".tar.zst")
}

// ParseLocation reads the value of --to: registry[:port][/path], oci:DIR, FILE.tar or FILE.tar.zst.
func ParseLocation(s string) (Location, error) {
	if dir, ok := strings.CutPrefix(s, "oci:"); ok {
		if dir == "" {
			return Location{}, fmt.Errorf("%q: has no directory; write oci:DIR", s)
		}
		if info, err := os.Stat(dir); IsBundle(dir) && (err != nil || !info.IsDir()) {
			return Location{}, fmt.Errorf("%q: is for a directory; for a file write %s", s, dir)
		}
		return Location{dir: dir}, nil
	}
	if IsBundle(s) {
		return Location{bundle: strings.TrimSuffix(s, ".000")}, nil
	}
	if strings.HasPrefix(s, "/") || strings.HasPrefix(s, ".") {
		return Location{}, fmt.Errorf("%q: is no registry; for a directory write oci:%s, for one file %s.tar.zst", s, s, s)
	}
	t, err := ParseTarget(s)
	return Location{target: t}, err
}

// ParseSource reads the value of --from: oci:DIR, DIR, FILE.tar or FILE.tar.zst.
func ParseSource(s string) (Location, error) {
	if strings.HasPrefix(s, "oci:") {
		return ParseLocation(s)
	}
	info, err := os.Stat(s)
	if err == nil && info.IsDir() {
		return Location{dir: s}, nil
	}
	if IsBundle(s) {
		return ParseLocation(s)
	}
	return Location{}, fmt.Errorf("%q: is no directory; write oci:DIR, FILE.tar or FILE.tar.zst", s)
}

// Layout is the directory; "" for a registry or a bundle.
func (l Location) Layout() string { return l.dir }

// Bundle is the file; "" for a registry or a directory.
func (l Location) Bundle() string { return l.bundle }

// IsRegistry reports whether images are on a registry there; also for the zero value.
func (l Location) IsRegistry() bool { return l.dir == "" && l.bundle == "" }

// Target is the registry; the zero value for a directory or a bundle.
func (l Location) Target() Target { return l.target }

// String is the form that [ParseLocation] reads.
func (l Location) String() string {
	switch {
	case l.dir != "":
		return "oci:" + l.dir
	case l.bundle != "":
		return l.bundle
	}
	return l.target.String()
}
