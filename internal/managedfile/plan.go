package managedfile

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/berth-registry/berth/internal/nodefs"
)

// If a file was repaired maxRepairs times within repairWindow, another program manages it too.
const (
	maxRepairs   = 10
	repairWindow = 5 * time.Minute
)

// Plan decides how to get from the observed state to the wanted files. It returns the wanted files
// in order, including unchanged ones, then Berth's files that are no longer wanted, each after the
// files that need it. snap is the result of [Store.Observe] for the same wanted files.
func Plan(wanted []File, snap Snapshot) []Change {
	changes := make([]Change, 0, len(wanted))
	want := make(map[string]bool, len(wanted))
	for i := range wanted {
		f := &wanted[i]
		want[f.Path] = true
		c := Change{Path: f.Path, After: f, Before: snap.find(f.Path)}
		c.Action, c.Reason = planWanted(c.Before, *f, snap)
		changes = append(changes, c)
	}
	var gone []Change
	for _, o := range snap.Files {
		if want[o.Path] {
			continue
		}
		c := Change{Path: o.Path, Before: o}
		if c.Action, c.Reason = planUnwanted(o, snap.Time); c.Action != "" {
			gone = append(gone, c)
		}
	}
	return append(changes, orderRemovals(gone)...)
}

// find returns the observation of a path; the zero state if it was not observed.
func (s Snapshot) find(path string) Observed {
	i, ok := slices.BinarySearchFunc(s.Files, path, func(o Observed, p string) int { return strings.Compare(o.Path, p) })
	if !ok {
		return Observed{Path: path}
	}
	return s.Files[i]
}

func planWanted(o Observed, f File, snap Snapshot) (Action, string) {
	if o.Problem != "" {
		return Conflict, o.Problem
	}
	same := o.Kind == nodefs.Regular && bytes.Equal(o.Content, f.Content()) && o.Mode == f.Mode
	switch o.Owner {
	case Absent:
		return Create, ""
	case Foreign:
		switch {
		case same:
			return Unchanged, "already as wanted, and not written by berth"
		case snap.Scope.Adopt:
			return Adopt, "the original is kept; berth restore brings it back"
		case o.Kind == nodefs.Symlink:
			return Conflict, "a symlink that berth did not create"
		}
		return Conflict, "not written by berth"
	case Ours:
		if same {
			return Unchanged, ""
		}
		return Update, ""
	}
	if by := overwriteLimit(o, snap.Time); by != "" {
		return Conflict, by
	}
	return Repair, describeEdit(o)
}

func describeEdit(o Observed) string {
	switch {
	case o.Kind == nodefs.None:
		return "it was removed"
	case o.Theirs:
		return "replaced by a foreign file, which is kept; berth restore brings it back"
	case o.AccessOnly:
		return "its mode or owner was changed"
	}
	return "it was edited; the edit is kept"
}

// overwriteLimit returns the reason to leave a file alone if it was repaired too often, ""
// otherwise.
func overwriteLimit(o Observed, now time.Time) string {
	n := len(o.Repairs)
	if n < maxRepairs || o.Repairs[n-1].Sub(o.Repairs[n-maxRepairs]) > repairWindow {
		return ""
	}
	last := o.Repairs[n-1]
	if o.ModTime.After(last) && !o.ModTime.After(now) {
		last = o.ModTime
	}
	if now.Sub(last) >= repairWindow {
		return ""
	}
	return fmt.Sprintf("repaired %d times within %v and changed again: another program manages it; berth leaves it alone until it stays unchanged for %v",
		maxRepairs, repairWindow, repairWindow)
}

func planUnwanted(o Observed, now time.Time) (Action, string) {
	switch {
	case o.Theirs:
		return Forget, "replaced by a foreign file; left unchanged"
	case o.Owner == Absent && o.Pending:
		return Forget, "it was never written"
	case o.Owner == Foreign && o.Pending:
		return Forget, "it was never replaced"
	case o.Owner == Absent || o.Owner == Foreign:
		return "", ""
	case o.Problem != "":
		return Conflict, o.Problem
	case o.Kind == nodefs.None && o.Original == nodefs.None:
		return Forget, "it was removed"
	}
	if o.GracePeriod > 0 && o.Kind != nodefs.None && (o.Unwanted.IsZero() || now.Before(o.Unwanted.Add(o.GracePeriod))) {
		return GracePeriod, fmt.Sprintf("stays %v after it was last needed", o.GracePeriod)
	}
	why := ""
	if o.Owner == Edited && o.Kind != nodefs.None && !o.AccessOnly {
		why = "it was edited; the edit is kept"
	}
	if o.Original != nodefs.None {
		why = strings.TrimPrefix(why+"; the original is restored", "; ")
	}
	return Remove, why
}

// orderRemovals puts a file after the files that need it. If the record is lost the needs are
// unknown; files with a grace period exist for others, so they come last.
func orderRemovals(gone []Change) []Change {
	last := func(c Change) int {
		if c.Before.GracePeriod > 0 {
			return 1
		}
		return 0
	}
	slices.SortStableFunc(gone, func(a, b Change) int { return last(a) - last(b) })
	at := make(map[string]int, len(gone))
	for i, c := range gone {
		at[c.Path] = i
	}
	users := make([][]int, len(gone)) // the files that need each one
	for i, c := range gone {
		for _, n := range c.Before.Needs {
			if j, ok := at[n]; ok {
				users[j] = append(users[j], i)
			}
		}
	}
	ordered := make([]Change, 0, len(gone))
	for _, i := range topological(users) {
		ordered = append(ordered, gone[i])
	}
	return ordered
}

// topological returns 0…n-1 in an order where each number comes after those of first[i], otherwise
// in numeric order. Cycles are broken at an arbitrary place.
func topological(first [][]int) []int {
	order := make([]int, 0, len(first))
	visited := make([]bool, len(first))
	var visit func(int)
	visit = func(i int) {
		if visited[i] {
			return
		}
		visited[i] = true
		for _, j := range first[i] {
			visit(j)
		}
		order = append(order, i)
	}
	for i := range first {
		visit(i)
	}
	return order
}
