package managedfile

// verdict is what a path is to us.
type verdict struct {
	owner   Owner
	pending bool // the record is ahead of the file
	theirs  bool // somebody's own thing stands where ours was
	access  bool // the content is ours, mode or owner are not
}

// classify decides whose a path is: rec is what the record says of it, nil if
// nothing, e is what lies there. Everything that is kept, replaced or removed
// hangs on this function.
func classify(rec *record, e entry) verdict {
	if rec == nil {
		return classifyUnrecorded(e)
	}
	if e.kind == None {
		if rec.Written == nil && rec.Original == nil {
			return verdict{owner: Nobody, pending: true}
		}
		return verdict{owner: Edited, pending: rec.Next != nil}
	}
	if e.kind != Regular {
		return somebodys(rec, e)
	}

	sum := hash(e.content)
	if rec.Next.is(sum) && rec.Next.access().sameAccess(e.meta) {
		return verdict{owner: Ours}
	}
	if rec.Written.is(sum) && rec.Written.access().sameAccess(e.meta) {
		return verdict{owner: Ours, pending: rec.Next != nil}
	}
	if rec.Next.is(sum) || rec.Written.is(sum) {
		return verdict{owner: Edited, access: true, pending: rec.Next != nil && !rec.Next.is(sum)}
	}
	if rec.Written == nil && Intact(e.content) {
		return verdict{owner: Ours, pending: rec.Next != nil}
	}
	if hasMarker(e.content) {
		return verdict{owner: Edited, pending: rec.Next != nil}
	}
	if rec.Written != nil && !rec.Written.Marked && !rec.Original.matches(e) {
		// A format without comments: that it was ours is all there is to
		// know, so whatever it holds now counts as an edit of our file.
		return verdict{owner: Edited, pending: rec.Next != nil}
	}
	return somebodys(rec, e)
}

// somebodys is the verdict on a thing that nobody would take for ours, at a
// path of which there is a record.
func somebodys(rec *record, e entry) verdict {
	if rec.Written == nil {
		// As far as we know nothing of ours was ever there: it is the
		// original, or took its place before we came to it.
		return verdict{owner: Foreign, pending: true}
	}
	return verdict{owner: Edited, theirs: true, pending: rec.Next != nil}
}

func classifyUnrecorded(e entry) verdict {
	switch {
	case e.kind == None:
		return verdict{owner: Nobody}
	case e.kind == Regular && Intact(e.content):
		return verdict{owner: Ours}
	case e.kind == Regular && startsWithMarker(e.content):
		return verdict{owner: Edited}
	}
	// A marker further down may be somebody's quotation of our file.
	return verdict{owner: Foreign}
}

// is reports whether w has the given hash; a nil w has none.
func (w *written) is(sum string) bool { return w != nil && w.SHA == sum }

func (w *written) access() meta { return meta{Mode: w.Mode, UID: w.UID, GID: w.GID} }
