package managedfile

import (
	"path"
	"slices"

	"github.com/berth-registry/berth/internal/nodefs"
)

// unit is a set of files that appear or disappear together: one file in a directory that stays, or
// a directory with all its files.
type unit struct {
	dir   string // directory of all its files
	top   string // the scope's directory above dir; "" if there is none
	fresh bool   // dir does not exist and appears together with its files
	items []*item

	at   *nodefs.Dir // directory in which the files are prepared
	tmp  string      // temporary name of a fresh directory
	err  error
	fail *item // the item that err is about
}

// units groups the open items into units, in the order in which they are carried out: writes, then
// removals.
func (r *run) units() (writes, removals []*unit) {
	fresh := map[string]*unit{}
	going := map[string]*unit{}
	there := map[string]bool{}
	for _, it := range r.items {
		if it.state != itemOpen {
			continue
		}
		u := &unit{dir: path.Dir(it.Path), top: r.topOf(it.Path), items: []*item{it}}
		if u.top != "" {
			if _, known := there[u.dir]; !known {
				// If this is unknown, preparing the file will report the error.
				is, err := r.there(u.dir)
				there[u.dir] = is || err != nil
			}
			u.fresh = !there[u.dir] && (it.After != nil || it.putBack != nil)
		}
		if u.fresh && it.Before.Kind != nodefs.None {
			r.skip(it, "its directory was removed in the meantime")
			continue
		}
		switch {
		case u.fresh && fresh[u.dir] != nil:
			fresh[u.dir].items = append(fresh[u.dir].items, it)
		case u.fresh:
			fresh[u.dir] = u
			writes = append(writes, u)
		case it.After != nil:
			writes = append(writes, u)
		case u.top != "" && going[u.dir] != nil:
			going[u.dir].items = append(going[u.dir].items, it)
		default:
			if u.top != "" {
				going[u.dir] = u
			}
			removals = append(removals, u)
		}
	}
	return orderUnits(writes, needsOf), orderUnits(removals, r.usersOf(removals))
}

// needsOf lists the files that must be written before an item.
func needsOf(it *item) []string {
	if it.After == nil {
		return nil
	}
	return it.After.Needs
}

// usersOf returns a function that lists the files that must be removed before an item.
func (r *run) usersOf(units []*unit) func(*item) []string {
	users := map[string][]string{}
	for _, u := range units {
		for _, it := range u.items {
			for _, n := range it.Before.Needs {
				users[n] = append(users[n], it.Path)
			}
		}
	}
	return func(it *item) []string { return users[it.Path] }
}

// orderUnits puts each unit after the units that hold the files in first.
func orderUnits(units []*unit, first func(*item) []string) []*unit {
	at := map[string]int{}
	for i, u := range units {
		for _, it := range u.items {
			at[it.Path] = i
		}
	}
	before := make([][]int, len(units))
	for i, u := range units {
		for _, it := range u.items {
			for _, p := range first(it) {
				if j, ok := at[p]; ok && j != i && !slices.Contains(before[i], j) {
					before[i] = append(before[i], j)
				}
			}
		}
	}
	ordered := make([]*unit, 0, len(units))
	for _, i := range topological(before) {
		ordered = append(ordered, units[i])
	}
	return ordered
}
