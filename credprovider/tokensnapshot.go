package credprovider

import (
	"slices"
	"time"

	"github.com/berth-registry/berth/credprovider/ecr"
)

// view is the content of the token files of one service and region at one moment, by source.
type view struct {
	scope    scope
	now      time.Time
	ids      []ecr.Identity
	files    []tokenFile
	unusable []error

	// serving is the first source with a usable token, -1 for none.
	serving int
	// due says that it is time to ask a source before it again, or that the files behind its token
	// have changed.
	due bool
	// failure is set when no source has to be asked, because each of them failed a moment ago.
	failure error
}

// view reads the files of r. An unusable file counts as missing.
func (t *Tokens) view(r ecr.Registry) view {
	return t.look(r, true)
}

// look is view; without all it stops at the first source with a usable token and does not read the
// keys and files of the sources after it.
func (t *Tokens) look(r ecr.Registry, all bool) view {
	v := view{scope: scopeOf(r), now: t.now(), serving: -1}
	failed := &ecr.ChainError{Region: r.Region}
	held := false // a verdict holds while another source has a usable token
	chain := t.chain(r)
	for i := range chain.Len() {
		id := chain.Identity(i)
		var f tokenFile
		var unusable error
		if id.Err == nil {
			f, unusable = readTokenFile(t.Dir, v.scope, id.Name)
		}
		v.ids, v.files, v.unusable = append(v.ids, id), append(v.files, f), append(v.unusable, unusable)
		if v.serving >= 0 {
			continue
		}
		if _, ok := f.usable(v.now); ok {
			v.serving = i
			v.due = v.due || v.changed(i)
			if !all {
				return v
			}
			continue
		}
		switch {
		case id.Err != nil:
			failed.Errs = append(failed.Errs, ecr.SourceError{Source: id.Source, Err: id.Err})
		case f.Verdict != nil && f.Verdict.Stamp == id.Stamp && f.Verdict.Alone().Holds(v.now):
			failed.Errs = append(failed.Errs, ecr.SourceError{Source: id.Source, Err: f.Verdict.Err()})
		case f.Verdict != nil && f.Verdict.Stamp == id.Stamp && f.Verdict.Holds(v.now):
			held = true
		default:
			v.due = true
		}
	}
	switch {
	case v.serving >= 0 || v.due:
	case held:
		v.due = true // no token is usable, so the source is asked again
	default:
		v.failure = failed
	}
	return v
}

// identities returns the identities whose tokens may be fetched for r, sorted, each once.
func (t *Tokens) identities(r ecr.Registry) []string {
	var v view
	chain := t.chain(r)
	for i := range chain.Len() {
		v.ids = append(v.ids, chain.Identity(i))
	}
	return v.identities()
}

func (v view) identities() []string {
	var names []string
	for _, id := range v.ids {
		if id.Err == nil {
			names = append(names, id.Name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// changed reports whether the files behind the token of source i have changed since it was fetched,
// so that it may be another identity's, and that this was not looked into a moment ago.
func (v view) changed(i int) bool {
	f, stamp := v.files[i], v.ids[i].Stamp
	if f.Token == nil || f.Token.Stamp == stamp {
		return false
	}
	return f.Verdict == nil || f.Verdict.Stamp != stamp || !f.Verdict.Holds(v.now)
}

// token returns the usable token of source i.
func (v view) token(i int) Token {
	t, _ := v.files[i].usable(v.now)
	return v.named(t, v.ids[i].Name)
}

func (v view) named(t ecr.Token, identity string) Token {
	for _, id := range v.ids {
		if id.Name == identity {
			return Token{Token: t, Source: id.Source, Identity: identity}
		}
	}
	return Token{Token: t, Identity: identity}
}

// verdicts returns the stored verdicts by identity. A renewal ignores temporary failures: it has a
// backoff of its own.
func (v view) verdicts(renewal bool) map[string]ecr.Verdict {
	known := map[string]ecr.Verdict{}
	for _, f := range v.files {
		if f.Verdict == nil || renewal && f.Verdict.Outcome == ecr.Busy {
			continue
		}
		known[f.Identity] = *f.Verdict
		if v.serving < 0 {
			known[f.Identity] = f.Verdict.Alone()
		}
	}
	return known
}

// unexpired returns the identities that have a usable token.
func (v view) unexpired() map[string]bool {
	serving := map[string]bool{}
	for _, f := range v.files {
		if _, ok := f.usable(v.now); ok {
			serving[f.Identity] = true
		}
	}
	return serving
}
