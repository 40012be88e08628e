package trace

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"

	"github.com/berth-registry/berth/hostsconf"
)

// What releases before the one that is linked here do in another way. The
// library is that of the newest release.

// before reports whether the node's release is known and older.
func (n Node) before(major, minor, patch int) bool {
	return !n.Release.IsZero() && !n.Release.AtLeast(major, minor, patch)
}

// lacksDefault: _default came with 1.6.17.
func (n Node) lacksDefault() bool { return n.before(1, 6, 17) }

// waitsForGood: since 2.3 an answer is waited for 30 s, before without end.
func (n Node) waitsForGood() bool { return n.before(2, 3, 0) }

// ignoresDialTimeout: dial_timeout came with 2.0.7.
func (n Node) ignoresDialTimeout() bool { return n.before(2, 0, 7) }

// patience is how long containerd waits for a connection, unless hosts.toml says
// otherwise, and since 2.3 for an answer.
const patience = 30 * time.Second

// wait is how long containerd waits for a host that did not answer in time; 0
// when that depends on a dial_timeout that is longer than we waited.
func (n Node) wait(t *tape, last exchange) time.Duration {
	switch {
	case last.written, n.ignoresDialTimeout():
		return patience
	}
	return t.dialed
}

// headerToRealm: since 2.1 the header of a host also goes to its token server.
func (n Node) headerToRealm() bool { return n.Release.IsZero() || n.Release.HeaderToTokenServer() }

// refuses says why a release takes no such image name, or "": the syntax of
// 1.6 knows no brackets.
func (n Node) refuses(registry string) string {
	if n.before(1, 7, 0) && strings.HasPrefix(registry, "[") {
		return fmt.Sprintf("containerd %s takes no IPv6 address in the name of an image", n.Release)
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

// drops says why the release skips a hosts.toml that newer ones read, or "".
func (n Node) drops(dir string) string {
	if !n.before(2, 2, 0) {
		return ""
	}
	content, err := hostsconf.ReadPlain(filepath.Join(dir, "hosts.toml"))
	if err != nil || len(content) == 0 {
		return ""
	}
	type table struct {
		Capabilities []string `toml:"capabilities"`
	}
	var file struct {
		table
		Host map[string]table `toml:"host"`
	}
	var keys map[string]any // an empty table is a table, too
	if toml.Unmarshal(content, &file) != nil || toml.Unmarshal(content, &keys) != nil {
		return "" // every release skips it
	}
	_, hasHost := keys["host"]
	referrers := slices.Contains(lower(file.Capabilities), "referrers")
	brackets := ""
	for name, h := range file.Host {
		referrers = referrers || slices.Contains(lower(h.Capabilities), "referrers")
		if strings.Contains(name, "[") {
			brackets = name
		}
	}
	skips := fmt.Sprintf("containerd %s ignores the file: ", n.Release)
	switch {
	case referrers:
		return skips + "it does not know the capability referrers"
	case n.before(1, 7, 32) && !hasHost:
		return skips + "it has no [host] table"
	case n.before(2, 0, 0) && brackets != "":
		return skips + "it cannot read the brackets of " + brackets + "; such a host can only be the server"
	}
	return ""
}

func lower(words []string) []string {
	low := make([]string, len(words))
	for i, w := range words {
		low[i] = strings.ToLower(w)
	}
	return low
}
