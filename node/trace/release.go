package trace

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/berth-registry/berth/hostsconf"
)

// This file has the behaviour of older releases that differs from the newest. Package hostsconf has
// how each release reads hosts.toml files.

// before reports whether the release of the node is known and older.
func (n Node) before(major, minor, patch int) bool {
	return !n.Release.IsZero() && !n.Release.AtLeast(major, minor, patch)
}

// lacksDefault: _default came with 1.6.17.
func (n Node) lacksDefault() bool { return n.before(1, 6, 17) }

// waitsWithoutLimit: since 2.3 containerd waits 30 s for an answer, before 2.3 without limit.
func (n Node) waitsWithoutLimit() bool { return n.before(2, 3, 0) }

// ignoresDialTimeout: dial_timeout came with 2.0.7.
func (n Node) ignoresDialTimeout() bool { return n.before(2, 0, 7) }

// dialLimit is how long containerd waits for a connection, unless hosts.toml sets another limit,
// and since 2.3 for an answer.
const dialLimit = 30 * time.Second

// wait is how long containerd waits for a host that did not answer in time; 0 if that depends on a
// dial_timeout that is longer than this command waited.
func (n Node) wait(t *recording, last exchange) time.Duration {
	switch {
	case last.written, n.ignoresDialTimeout():
		return dialLimit
	}
	return t.dialed
}

// headerToRealm: since 2.1 the header of a host is also sent to its token server.
// Docker sends it to none.
func (n Node) headerToRealm() bool {
	return n.Docker == nil && (n.Release.IsZero() || n.Release.HeaderToTokenServer())
}

// refuses says why a release refuses an image name, "" if it does not: the syntax of 1.6 has no
// brackets.
func (n Node) refuses(registry string) string {
	if n.before(1, 7, 0) && strings.HasPrefix(registry, "[") {
		return fmt.Sprintf("containerd %s accepts no IPv6 address in an image name", n.Release)
	}
	return ""
}

const defaultDir = "_default"

func withoutDefault(r hostsconf.Resolution) hostsconf.Resolution {
	r.Shadowed = slices.DeleteFunc(r.Shadowed, func(name string) bool { return name == defaultDir })
	if r.Dir == defaultDir {
		return hostsconf.Resolution{Registry: r.Registry}
	}
	return r
}

// family is the way in which the node's release reads hosts.toml files; that of the newest release
// if it is unknown.
func (n Node) family() hostsconf.Family {
	if n.Release.IsZero() {
		return hostsconf.Newest
	}
	return hostsconf.FamilyOf(n.Release.Major, n.Release.Minor, n.Release.Patch)
}
