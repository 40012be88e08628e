package managedfile

import (
	"github.com/berth-registry/berth/internal/nodefs"

	"github.com/berth-registry/berth/internal/managedfile/record"
)

// classification says who owns a path and how it differs from the record.
type classification struct {
	owner   Owner
	pending bool // the record is ahead of the file
	theirs  bool // a foreign entry replaced Berth's file
	access  bool // the content is Berth's, mode or owner are not
}

// classify decides who owns a path: rec is its record, nil if there is none; e is the entry on
// disk. Every decision to keep, replace or remove a file depends on this function.
func classify(rec *record.Entry, e nodefs.Entry) classification {
	if rec == nil {
		return classifyUnrecorded(e)
	}
	if e.Kind == nodefs.None {
		if rec.Written == nil && rec.Original == nil {
			return classification{owner: Absent, pending: true}
		}
		return classification{owner: Edited, pending: rec.Next != nil}
	}
	if e.Kind != nodefs.Regular {
		return foreignContent(rec, e)
	}

	sum := record.Hash(e.Content)
	if rec.Next.Is(sum) && rec.Next.Access().SameAccess(e.Meta) {
		return classification{owner: Ours}
	}
	if rec.Written.Is(sum) && rec.Written.Access().SameAccess(e.Meta) {
		return classification{owner: Ours, pending: rec.Next != nil}
	}
	if rec.Next.Is(sum) || rec.Written.Is(sum) {
		return classification{owner: Edited, access: true, pending: rec.Next != nil && !rec.Next.Is(sum)}
	}
	if rec.Written == nil && record.Intact(e.Content) || record.Unrecorded(e.Content) {
		return classification{owner: Ours, pending: rec.Next != nil}
	}
	if record.HasMarker(e.Content) {
		return classification{owner: Edited, pending: rec.Next != nil}
	}
	if rec.Written != nil && !rec.Written.Marked && !rec.Original.Matches(e) {
		// A format without comments: only the record says that the file is Berth's, so any
		// other content counts as an edit.
		return classification{owner: Edited, pending: rec.Next != nil}
	}
	return foreignContent(rec, e)
}

// foreignContent classifies a recorded path whose entry does not look like Berth's file.
func foreignContent(rec *record.Entry, e nodefs.Entry) classification {
	if rec.Written == nil {
		// No write of Berth's was finished there: this is the original, or it replaced the
		// original before Berth's write.
		return classification{owner: Foreign, pending: true}
	}
	return classification{owner: Edited, theirs: true, pending: rec.Next != nil}
}

func classifyUnrecorded(e nodefs.Entry) classification {
	switch {
	case e.Kind == nodefs.None:
		return classification{owner: Absent}
	case e.Kind == nodefs.Regular && record.Intact(e.Content):
		return classification{owner: Ours}
	case e.Kind == nodefs.Regular && record.StartsWithMarker(e.Content):
		return classification{owner: Edited}
	}
	// A marker on a later line may be a quotation of Berth's file.
	return classification{owner: Foreign}
}
