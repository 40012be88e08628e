package managedfile

// classification is what a path is to us.
type classification struct {
	owner   Owner
	pending bool // the record is ahead of the file
	theirs  bool // somebody's own thing stands where ours was
	access  bool // the content is ours, mode or owner are not
}

// classify decides whose a path is: rec is what the record says of it, nil if
// nothing, e is what lies there. Everything that is kept, replaced or removed
// hangs on this function.
func classify(rec *record, e entry) classification {
	if rec == nil {
		return classifyUnrecorded(e)
	}
	if e.kind == None {
		if rec.Written == nil && rec.Original == nil {
			return classification{owner: Absent, pending: true}
		}
		return classification{owner: Edited, pending: rec.Next != nil}
	}
	if e.kind != Regular {
		return foreignContent(rec, e)
	}

	sum := hash(e.content)
	if rec.Next.is(sum) && rec.Next.access().sameAccess(e.meta) {
		return classification{owner: Ours}
	}
	if rec.Written.is(sum) && rec.Written.access().sameAccess(e.meta) {
		return classification{owner: Ours, pending: rec.Next != nil}
	}
	if rec.Next.is(sum) || rec.Written.is(sum) {
		return classification{owner: Edited, access: true, pending: rec.Next != nil && !rec.Next.is(sum)}
	}
	if rec.Written == nil && Intact(e.content) {
		return classification{owner: Ours, pending: rec.Next != nil}
	}
	if hasMarker(e.content) {
		return classification{owner: Edited, pending: rec.Next != nil}
	}
	if rec.Written != nil && !rec.Written.Marked && !rec.Original.matches(e) {
		// A format without comments: that it was ours is all there is to
		// know, so whatever it holds now counts as an edit of our file.
		return classification{owner: Edited, pending: rec.Next != nil}
	}
	return foreignContent(rec, e)
}

// foreignContent is the verdict on a thing that nobody would take for ours, at a
// path of which there is a record.
func foreignContent(rec *record, e entry) classification {
	if rec.Written == nil {
		// As far as we know nothing of ours was ever there: it is the
		// original, or took its place before we came to it.
		return classification{owner: Foreign, pending: true}
	}
	return classification{owner: Edited, theirs: true, pending: rec.Next != nil}
}

func classifyUnrecorded(e entry) classification {
	switch {
	case e.kind == None:
		return classification{owner: Absent}
	case e.kind == Regular && Intact(e.content):
		return classification{owner: Ours}
	case e.kind == Regular && startsWithMarker(e.content):
		return classification{owner: Edited}
	}
	// A marker further down may be somebody's quotation of our file.
	return classification{owner: Foreign}
}

// is reports whether w has the given hash; a nil w has none.
func (w *written) is(sum string) bool { return w != nil && w.SHA == sum }

func (w *written) access() meta { return meta{Mode: w.Mode, UID: w.UID, GID: w.GID} }
