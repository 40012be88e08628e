package containerdconf

import (
	"cmp"
	"fmt"
	"regexp"
	"strconv"
)

// Release is a version of containerd. The zero value is an unknown version.
type Release struct{ Major, Minor, Patch int }

// ParseRelease parses a version as containerd prints it: the output of "containerd --version", or
// the version alone, with or without a v and a distribution's suffix ("1.6.20~ds1", "v2.0.5-k3s1").
func ParseRelease(s string) (Release, bool) {
	// The module path, which comes first in the output, may end in /v2.
	m := regexp.MustCompile(`(?:^|[\s"])v?(\d{1,3})\.(\d{1,3})(?:\.(\d{1,4}))?`).FindStringSubmatch(s)
	if m == nil {
		return Release{}, false
	}
	var r Release
	for i, n := range []*int{&r.Major, &r.Minor, &r.Patch} {
		*n, _ = strconv.Atoi(m[i+1]) // digits, or nothing
	}
	return r, r != Release{}
}

// String returns "2.4.2", or "of unknown version".
func (r Release) String() string {
	if r.IsZero() {
		return "of unknown version"
	}
	return fmt.Sprintf("%d.%d.%d", r.Major, r.Minor, r.Patch)
}

// IsZero reports whether the version is unknown.
func (r Release) IsZero() bool { return r == Release{} }

// AtLeast reports whether r is that release or a later one.
func (r Release) AtLeast(major, minor, patch int) bool {
	return cmp.Or(cmp.Compare(r.Major, major), cmp.Compare(r.Minor, minor), cmp.Compare(r.Patch, patch)) >= 0
}

// HeaderToTokenServer reports whether the release also sends the header of a host in hosts.toml to
// the token server that the host names: since 2.1.
func (r Release) HeaderToTokenServer() bool { return r.AtLeast(2, 1, 0) }

// NewestVersion returns the newest "version" of a config.toml that the release reads.
func (r Release) NewestVersion() int {
	switch {
	case r.AtLeast(2, 3, 0):
		return 4
	case r.AtLeast(2, 0, 0):
		return 3
	}
	return 2
}

// known lists the releases to assess if the version is unknown: the last one of each line that
// reads a configuration differently.
func known() []Release {
	return []Release{{1, 7, 28}, {2, 0, 7}, {2, 1, 5}, {2, 2, 0}, {2, 3, 4}, {2, 4, 2}}
}

// The plugin tables that contain, or contained, the image pull settings.
const (
	TableV1 = "cri"                         // version 1: [plugins.cri]
	TableV2 = "io.containerd.grpc.v1.cri"   // version 2
	TableV3 = "io.containerd.cri.v1.images" // versions 3 and 4
)

// Tables lists the plugin tables that may contain the registry settings in a file of a version,
// that of the version itself first.
func Tables(version int) []string {
	switch {
	case version <= 1:
		return []string{TableV1, TableV2, TableV3}
	case version == 2:
		return []string{TableV2, TableV3, TableV1}
	}
	return []string{TableV3, TableV2, TableV1}
}
