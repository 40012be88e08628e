package credprovider

import (
	"slices"
	"time"

	"github.com/berth-registry/berth/credprovider/ecr"
)

// tokenSnapshot is the content of the token files of one service and region at one moment, by source.
type tokenSnapshot struct {
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

// snapshot reads the files of r. An unusable file counts as missing.
func (t *Tokens) snapshot(r ecr.Registry) tokenSnapshot {
	return t.look(r, true)
}

// look is snapshot; without all it stops at the first source with a usable token and does not read the
// keys and files of the sources after it.
func (t *Tokens) look(r ecr.Registry, all bool) tokenSnapshot {
	s := tokenSnapshot{scope: scopeOf(r), now: t.now(), serving: -1}
	failed := &ecr.ChainError{Region: r.Region}
	held := false // a verdict holds while another source has a usable token
	chain := t.chain(r)
	for i := range chain.Len() {
		id := chain.Identity(i)
		var f tokenFile
		var unusable error
		if id.Err == nil {
			f, unusable = readTokenFile(t.Dir, s.scope, id.Name)
		}
		s.ids, s.files, s.unusable = append(s.ids, id), append(s.files, f), append(s.unusable, unusable)
		if s.serving >= 0 {
			continue
		}
		if _, ok := f.usable(s.now); ok {
			s.serving = i
			s.due = s.due || s.changed(i)
			if !all {
				return s
			}
			continue
		}
		switch {
		case id.Err != nil:
			failed.Errs = append(failed.Errs, ecr.SourceError{Source: id.Source, Err: id.Err})
		case f.Verdict != nil && f.Verdict.Stamp == id.Stamp && f.Verdict.Alone().Holds(s.now):
			failed.Errs = append(failed.Errs, ecr.SourceError{Source: id.Source, Err: f.Verdict.Err()})
		case f.Verdict != nil && f.Verdict.Stamp == id.Stamp && f.Verdict.Holds(s.now):
			held = true
		default:
			s.due = true
		}
	}
	switch {
	case s.serving >= 0 || s.due:
	case held:
		s.due = true // no token is usable, so the source is asked again
	default:
		s.failure = failed
	}
	return s
}

// identities returns the identities whose tokens may be fetched for r, sorted, each once.
func (t *Tokens) identities(r ecr.Registry) []string {
	var s tokenSnapshot
	chain := t.chain(r)
	for i := range chain.Len() {
		s.ids = append(s.ids, chain.Identity(i))
	}
	return s.identities()
}

func (s tokenSnapshot) identities() []string {
	var names []string
	for _, id := range s.ids {
		if id.Err == nil {
			names = append(names, id.Name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// changed reports whether the files behind the token of source i have changed since it was fetched,
// so that it may be another identity's, and that this was not looked into a moment ago.
func (s tokenSnapshot) changed(i int) bool {
	f, stamp := s.files[i], s.ids[i].Stamp
	if f.Token == nil || f.Token.Stamp == stamp {
		return false
	}
	return f.Verdict == nil || f.Verdict.Stamp != stamp || !f.Verdict.Holds(s.now)
}

// token returns the usable token of source i.
func (s tokenSnapshot) token(i int) Token {
	t, _ := s.files[i].usable(s.now)
	return s.named(t, s.ids[i].Name)
}

func (s tokenSnapshot) named(t ecr.Token, identity string) Token {
	for _, id := range s.ids {
		if id.Name == identity {
			return Token{Token: t, Source: id.Source, Identity: identity}
		}
	}
	return Token{Token: t, Identity: identity}
}

// verdicts returns the stored verdicts by identity. A renewal ignores temporary failures: it has a
// backoff of its own.
func (s tokenSnapshot) verdicts(renewal bool) map[string]ecr.Verdict {
	known := map[string]ecr.Verdict{}
	for _, f := range s.files {
		if f.Verdict == nil || renewal && f.Verdict.Outcome == ecr.Busy {
			continue
		}
		known[f.Identity] = *f.Verdict
		if s.serving < 0 {
			known[f.Identity] = f.Verdict.Alone()
		}
	}
	return known
}

// unexpired returns the identities that have a usable token.
func (s tokenSnapshot) unexpired() map[string]bool {
	serving := map[string]bool{}
	for _, f := range s.files {
		if _, ok := f.usable(s.now); ok {
			serving[f.Identity] = true
		}
	}
	return serving
}
