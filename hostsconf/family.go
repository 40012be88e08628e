package hostsconf

import (
	"cmp"
	"slices"
)

// Family is a range of containerd releases that read every hosts.toml in the same way. The zero
// value is the oldest.
type Family int

// The families, oldest first. Each comment says how the family differs from the one before.
const (
	// Family16 reads with go-toml v1, which accepts other files than v2 does, and ignores a
	// file without a [host] table.
	Family16 Family = iota
	// Family1732 accepts files without a [host] table.
	Family1732
	// Family20 reads with go-toml v2. It does not know the key dial_timeout.
	Family20
	// Family207 knows dial_timeout and refuses the capability referrers.
	Family207
	// Family22 accepts the capability referrers.
	Family22
	// Family24 reads TOML 1.1; older families ignore a file that needs it.
	Family24
)

// Newest is the family of the newest releases, whose package is linked into Berth.
const Newest = Family24

// families holds the first release of each family and the name that messages use.
var families = [...]struct {
	first [3]int
	name  string
}{
	Family16:   {[3]int{0, 0, 0}, "1.6 to 1.7.31"},
	Family1732: {[3]int{1, 7, 32}, "1.7.32 and later 1.7"},
	Family20:   {[3]int{2, 0, 0}, "2.0.0 to 2.0.6"},
	Family207:  {[3]int{2, 0, 7}, "2.0.7 to 2.1"},
	Family22:   {[3]int{2, 2, 0}, "2.2 to 2.3"},
	Family24:   {[3]int{2, 4, 0}, "2.4 and later"},
}

// Families lists all families, oldest first.
func Families() []Family {
	return []Family{Family16, Family1732, Family20, Family207, Family22, Family24}
}

// FamilyOf returns the family of a containerd release.
func FamilyOf(major, minor, patch int) Family {
	release := []int{major, minor, patch}
	for _, f := range slices.Backward(Families()) {
		if slices.Compare(release, families[f].first[:]) >= 0 {
			return f
		}
	}
	return Family16
}

// String names the releases, such as "1.6 to 1.7.31".
func (f Family) String() string { return families[f].name }

// v1 reports whether these releases read with go-toml v1.
func (f Family) v1() bool { return cmp.Less(f, Family20) }
