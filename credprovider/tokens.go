package credprovider

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/berth-registry/berth/credprovider/ecr"
	"github.com/berth-registry/berth/internal/redact"
)

// TokenDir is the default directory of the token files.
const TokenDir = "/run/berth/tokens"

const (
	// patience is the longest time that one Get takes.
	patience = 25 * time.Second
	// fetchTime is the longest time that the holder of the lock takes. It is less than patience,
	// so that the waiting processes still get the result.
	fetchTime = 20 * time.Second
	// recheckEvery is the longest time to try a better source while another one has a usable token.
	recheckEvery = 2 * time.Second
	// askAgain is how long a token stays in use while it is not known whose credentials its source
	// has.
	askAgain = 10 * time.Second
	// confirmTime is the longest time to find out whose changed credentials are.
	confirmTime = 10 * time.Second
)

// Tokens gets ECR tokens from the files that all processes of the node share or, when those have
// none, from AWS. It may be used by several goroutines.
//
// There is one file for each service, identity and region. It holds a token, or the reason why
// there is none, or both. A process that finds no usable token takes the locks of the identities
// that it may ask for, so that only one process at a time asks AWS for a token of an identity and
// region.
type Tokens struct {
	Dir   string
	Chain *ecr.Chain
	// Chains get the tokens of registries with a chain of their own, by its name; a missing one
	// is an error of that registry.
	Chains map[string]*ecr.Chain
	Now    func() time.Time // nil: time.Now
	Log    *slog.Logger     // nil: nothing is logged

	// HandOver, unless nil, is called when AWS has to be asked, and returns only if it fails: it
	// starts another program in place of this one, for the same request. locks are those that this
	// process holds, nil without any.
	HandOver func(locks Locks) error
	// Locks are those that were handed over, nil without any.
	Locks Locks
}

// Token is an ECR token and its origin.
type Token struct {
	ecr.Token
	Source   string // in messages: "instance profile"
	Identity string // as in the name of the token file
}

// Get returns a usable token for r ([Token.Usable]). It takes at most 25 seconds; usually it reads
// one file. The error is a *ecr.ChainError, or that of ctx.
func (t *Tokens) Get(ctx context.Context, r ecr.Registry) (Token, error) {
	if err := t.known(r); err != nil {
		return Token{}, err
	}
	s := t.look(r, false)
	if at := s.serving; at >= 0 {
		if !s.due {
			return s.token(at), nil
		}
		return t.fetchBetter(ctx, r, s)
	}
	return t.wait(ctx, r, func(s tokenSnapshot) (Token, error, bool) {
		if s.serving >= 0 {
			return s.token(s.serving), nil, true
		}
		return Token{}, s.failure, s.failure != nil
	}, ecr.Request{Registry: r})
}

// ForRole gets a token for r with a role that a web identity token, as a pod has it, may assume. The
// token is stored nowhere: it is that pod's alone. It takes at most 20 seconds. The error is a
// *ecr.ChainError.
func (t *Tokens) ForRole(ctx context.Context, r ecr.Registry, roleARN string, identity redact.Secret) (Token, error) {
	if t.HandOver != nil {
		return Token{}, t.HandOver(nil)
	}
	ctx, cancel := context.WithTimeout(ctx, fetchTime)
	defer cancel()
	token, err := t.Chain.RoleToken(ctx, r, roleARN, identity)
	return Token{Token: token, Source: "the pod's role " + roleARN}, err
}

// Cached returns the token for r from the token files, if one is usable. It opens no connection and
// writes nothing.
func (t *Tokens) Cached(r ecr.Registry) (Token, bool) {
	if t.known(r) != nil {
		return Token{}, false
	}
	s := t.snapshot(r)
	if s.serving < 0 {
		return Token{}, false
	}
	return s.token(s.serving), true
}

// Renew gets a new token for r, even if the stored one is usable, and stores it. It tries even if a
// temporary failure is remembered. When it fails, the stored token stays in use until it is no
// longer usable.
func (t *Tokens) Renew(ctx context.Context, r ecr.Registry) (Token, error) {
	if err := t.known(r); err != nil {
		return Token{}, err
	}
	begin := t.now()
	return t.wait(ctx, r, func(s tokenSnapshot) (Token, error, bool) {
		// Another process was faster.
		if at := s.serving; at >= 0 && s.files[at].Token.Issued.After(begin) {
			return s.token(at), nil, true
		}
		return Token{}, nil, false
	}, ecr.Request{Registry: r, Serving: map[string]bool{}})
}

// wait takes the lock and fetches, unless settled finds an answer in the files, now or while it
// waits.
func (t *Tokens) wait(ctx context.Context, r ecr.Registry, settled func(tokenSnapshot) (Token, error, bool), req ecr.Request) (Token, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := ensureDir(t.Dir); err != nil {
		return t.withoutFiles(ctx, req, err)
	}
	pause := 10 * time.Millisecond
	for {
		identities := t.identities(r)
		locks, err := t.lock(scopeOf(r), identities)
		if err != nil {
			return t.withoutFiles(ctx, req, err)
		}
		s := t.snapshot(r)
		if token, err, ok := settled(s); ok {
			locks.Close()
			return token, err
		}
		if locks != nil && slices.Equal(s.identities(), identities) {
			defer locks.Close()
			if t.HandOver != nil {
				return Token{}, t.HandOver(locks)
			}
			return t.fetch(ctx, s, req)
		}
		locks.Close()
		// Longer and longer pauses: many processes may wait.
		timer := time.NewTimer(pause/2 + rand.N(pause))
		pause = min(pause*3/2, 200*time.Millisecond)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return Token{}, fmt.Errorf("wait for another process to get an ECR token for %s: %w", r.Region, ctx.Err())
		}
	}
}

// fetch asks AWS and stores the result. The caller holds the locks.
func (t *Tokens) fetch(ctx context.Context, s tokenSnapshot, req ecr.Request) (Token, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTime)
	defer cancel()
	t.clearUnusable(s)
	req.Known = s.verdicts(req.Serving != nil)
	if req.Serving != nil {
		req.Serving = s.unexpired()
	}
	res := t.chain(req.Registry).Fetch(ctx, req)
	t.store(s, res)
	if res.Err != nil {
		return Token{}, res.Err
	}
	return s.named(res.Token, res.Identity), nil
}

// lock takes the locks of a scope and of identities, nil if another process has one of them.
func (t *Tokens) lock(s scope, identities []string) (Locks, error) {
	if handed := t.Locks; handed != nil {
		t.Locks = nil
		if handed.are(t.Dir, s, identities) {
			return handed, nil
		}
		handed.Close()
	}
	return tryLocks(t.Dir, s, identities)
}

// fetchBetter looks for a better token than the one in use: from the sources before its source,
// when it is time to ask them again, or from its own source, when that is another identity by now.
// Only one process does so at a time. The token in use is the answer unless it is another identity's.
func (t *Tokens) fetchBetter(ctx context.Context, r ecr.Registry, s tokenSnapshot) (Token, error) {
	identities := t.identities(r)
	locks, err := t.lock(s.scope, identities)
	if err != nil || locks == nil {
		return s.token(s.serving), nil
	}
	defer locks.Close()
	old := s
	switch s = t.snapshot(r); {
	case s.serving < 0, !slices.Equal(s.identities(), identities): // it just became unusable, or changes
		return old.token(old.serving), nil
	case !s.due: // another process has asked
		return s.token(s.serving), nil
	}
	if t.HandOver != nil {
		if err := t.HandOver(locks); !s.changed(s.serving) {
			t.log().WarnContext(ctx, "no better source was asked", "error", err)
			return s.token(s.serving), nil
		} else {
			return Token{}, err
		}
	}
	if s.changed(s.serving) {
		if s.token(s.serving).Principal == "" { // there is nothing to compare with
			old := s.token(s.serving)
			if token, err := t.fetch(ctx, s, ecr.Request{Registry: r}); err == nil {
				return token, nil
			}
			return old, nil
		}
		if !t.confirm(ctx, r, &s) {
			return t.fetch(ctx, s, ecr.Request{Registry: r})
		}
	}
	better, cancel := context.WithTimeout(ctx, recheckEvery)
	defer cancel()
	t.clearUnusable(s)
	if s.serving == 0 {
		return s.token(s.serving), nil
	}
	res := t.chain(r).Fetch(better, ecr.Request{Registry: r, Known: s.verdicts(false), First: s.serving, Hasty: true})
	t.store(s, res)
	if res.Err != nil {
		return s.token(s.serving), nil
	}
	return s.named(res.Token, res.Identity), nil
}

// confirm asks AWS whose the credentials are by now, after a change of the files behind the token
// in use, and reports whether the token stays. When they are another identity's, or AWS accepts
// them no more, the token is removed from s and from its file.
func (t *Tokens) confirm(ctx context.Context, r ecr.Registry, s *tokenSnapshot) bool {
	ctx, cancel := context.WithTimeout(ctx, confirmTime)
	defer cancel()
	i := s.serving
	f, id := s.files[i], s.ids[i]
	principal, err := t.chain(r).Principal(ctx, r, i)
	stays := err == nil && principal == f.Token.Principal
	// A program that rotates the keys may be writing the file just now: once for each state of the
	// file, missing keys are no answer.
	half := errors.Is(err, ecr.NoKeys) && (f.Verdict == nil || f.Verdict.Stamp != id.Stamp)
	token := *f.Token
	switch {
	case stays:
		token.Stamp = id.Stamp
		f.Token, f.Verdict = &token, nil
	case err != nil && (ecr.Decide(err).Stay || half):
		// Nothing is known about them. The token stays, and the question is asked again later.
		now := t.now()
		stays = true
		f.Verdict = &ecr.Verdict{Outcome: ecr.OutcomeOf(err), Message: err.Error(), At: now, Until: now.Add(askAgain), Stamp: id.Stamp}
		t.log().WarnContext(ctx, "not known whose credentials a source has after a change", "source", id.Source, "error", err)
	default:
		f.Token = nil
		s.serving = -1
		t.log().WarnContext(ctx, "token dropped: its source has other credentials", "source", id.Source, "error", err)
	}
	f.Identity = id.Name
	s.files[i] = f
	if err := writeTokenFile(t.Dir, s.scope, f); err != nil {
		t.log().WarnContext(ctx, "token file cannot be written", "error", err)
	}
	return stays
}

// withoutFiles asks AWS when the token directory cannot be used: a pull must not fail because of a
// full disk or a wrong owner.
func (t *Tokens) withoutFiles(ctx context.Context, req ecr.Request, cause error) (Token, error) {
	t.log().WarnContext(ctx, "token files cannot be used", "error", cause)
	if t.HandOver != nil {
		return Token{}, t.HandOver(nil)
	}
	s := t.snapshot(req.Registry)
	ctx, cancel := context.WithTimeout(ctx, fetchTime)
	defer cancel()
	res := t.chain(req.Registry).Fetch(ctx, req)
	if res.Err != nil {
		return Token{}, res.Err
	}
	return s.named(res.Token, res.Identity), nil
}

// store writes the result of a fetch. A concurrent reader sees the old state or a part of the new
// one; both are consistent.
func (t *Tokens) store(s tokenSnapshot, res ecr.Result) {
	for i, id := range s.ids {
		if id.Name == "" {
			continue
		}
		f := s.files[i]
		f.Identity = id.Name
		verdict, learned := res.Learned[id.Name]
		switch {
		case res.Err == nil && id.Name == res.Identity:
			f.Token = &storedToken{
				Username: res.Token.Username, Password: res.Token.Password.Reveal(), Issued: res.Token.Issued, Expires: res.Token.Expires,
				Stamp: id.Stamp, Principal: res.Token.Principal,
			}
			f.Verdict = nil
		case learned:
			f.Verdict = &verdict
		default:
			continue
		}
		if err := writeTokenFile(t.Dir, s.scope, f); err != nil {
			t.log().Warn("token file cannot be written", "error", err)
		}
	}
}

func (t *Tokens) clearUnusable(s tokenSnapshot) {
	for i, err := range s.unusable {
		if err == nil {
			continue
		}
		t.log().Warn("token file set aside", "file", s.scope.fileName(s.ids[i].Name), "error", err)
		if err := setAside(t.Dir, s.scope, s.ids[i].Name); err != nil {
			t.log().Warn("token file cannot be set aside", "error", err)
		}
	}
}

func (t *Tokens) now() time.Time {
	if t.Now == nil {
		return time.Now()
	}
	return t.Now()
}

func (t *Tokens) log() *slog.Logger {
	if t.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return t.Log
}
