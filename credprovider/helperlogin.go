package credprovider

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/berth-registry/berth/internal/redact"
)

// HelperLoginsFile is the name of the file with the answers of credential helpers, beside the rules.
// It has mode 0600.
const HelperLoginsFile = "helper-logins.json"

// HelperService stands for the service in the status of a helper's login, where an ECR token has
// "ecr".
const HelperService = "credential-helper"

// maxHelperLogins is the size of the largest file of answers, in bytes.
const maxHelperLogins = 64 << 20

// HelperSource is a login that a credential helper gives.
type HelperSource struct {
	Registry string // host[:port][/path] as in the config
	Program  string // NAME of docker-credential-NAME, or an absolute path
	Refresh  time.Duration
	MaxStale time.Duration
}

// String names the source in messages.
func (s HelperSource) String() string { return "credential helper " + s.Program }

// HelperLogin is an answer of a credential helper.
type HelperLogin struct {
	Registry string `json:"registry"`
	Program  string `json:"program"`
	Username string `json:"username"`
	// Password is in clear text in the file alone.
	Password redact.Secret `json:"-"`
	Issued   time.Time     `json:"issued"` // when the helper answered
	// Expires is when the secret itself says that it expires, zero if it says nothing.
	Expires time.Time `json:"expires,omitzero"`
}

// UsableUntil returns the time from which a login is no longer used: maxStale after the answer, or
// the margin before the secret's own expiry, if that is sooner.
func (l HelperLogin) UsableUntil(maxStale time.Duration) time.Time {
	ends := l.Issued.Add(maxStale)
	if l.Expires.IsZero() {
		return ends
	}
	if own := usableUntil(l.Issued, l.Expires); own.Before(ends) {
		return own
	}
	return ends
}

// usable reports whether l can be used at now, by the wall clock.
func (l HelperLogin) usable(maxStale time.Duration, now time.Time) bool {
	now = now.Round(0)
	return !l.Password.IsZero() && !l.Issued.After(now.Add(clockSlack)) && now.Before(l.UsableUntil(maxStale))
}

// NextRefresh returns when the helper is asked again: refresh after its answer, or at three quarters
// of the life that the secret had left, if that is sooner; up to a tenth before that, so that the
// nodes of a cluster do not ask at once. rnd is from [0, 1).
func (l HelperLogin) NextRefresh(refresh time.Duration, rnd float64) time.Time {
	wait := refresh
	if !l.Expires.IsZero() {
		wait = min(wait, l.Expires.Sub(l.Issued)*3/4)
	}
	return l.Issued.Add(time.Duration(float64(wait) * (0.9 + 0.1*rnd)))
}

// HelperLogins are answers of credential helpers, by the name of the login ([Login.Name]).
type HelperLogins map[string]HelperLogin

// Usable returns the answer for a source, if it can be used at now.
func (all HelperLogins) Usable(s HelperSource, now time.Time) (HelperLogin, bool) {
	l, ok := all[s.Registry]
	return l, ok && l.Program == s.Program && l.usable(s.MaxStale, now)
}

// Fill returns logins with the answers of their helpers that can be used at now. A login without one
// is [Login.Missing].
func (all HelperLogins) Fill(logins []Login, now time.Time) []Login {
	return all.fill(logins, func(s HelperSource) (HelperLogin, bool) { return all.Usable(s, now) })
}

// FillAll is Fill for answers that the caller has found usable. A login has then the answer of
// another program too: one that the config named before, until the new one has answered.
func (all HelperLogins) FillAll(logins []Login) []Login {
	return all.fill(logins, func(s HelperSource) (HelperLogin, bool) {
		l, ok := all[s.Registry]
		return l, ok
	})
}

func (HelperLogins) fill(logins []Login, find func(HelperSource) (HelperLogin, bool)) []Login {
	if !slices.ContainsFunc(logins, Login.FromHelper) {
		return logins
	}
	filled := slices.Clone(logins)
	for i, l := range filled {
		if !l.FromHelper() {
			continue
		}
		if answer, ok := find(HelperSource{Registry: l.Name(), Program: l.Helper, MaxStale: l.MaxStale}); ok {
			filled[i].Username, filled[i].Password = answer.Username, answer.Password
			filled[i].Expires = answer.UsableUntil(l.MaxStale)
		}
	}
	return filled
}

// wireHelperLogins is the file. It holds secrets as plain strings.
type (
	wireHelperLogins struct {
		Version int               `json:"version"`
		Logins  []wireHelperLogin `json:"logins"`
	}
	wireHelperLogin struct {
		HelperLogin
		Password string `json:"password"`
	}
)

const helperLoginsVersion = 1

// Encode returns the file, sorted by registry, with every secret in clear text.
func (all HelperLogins) Encode() ([]byte, error) {
	w := wireHelperLogins{Version: helperLoginsVersion, Logins: []wireHelperLogin{}}
	for _, l := range all {
		w.Logins = append(w.Logins, wireHelperLogin{HelperLogin: l, Password: l.Password.Reveal()})
	}
	slices.SortFunc(w.Logins, func(a, b wireHelperLogin) int { return strings.Compare(a.Registry, b.Registry) })
	b, err := json.MarshalIndent(w, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode the helpers' logins: %w", err)
	}
	return append(b, '\n'), nil
}

// ReadHelperLogins reads the file of answers in dir. A missing one has none. The error quotes nothing
// of it; the caller goes on without answers.
func ReadHelperLogins(dir string) (HelperLogins, error) {
	path := filepath.Join(dir, HelperLoginsFile)
	b, err := readPrivate(path, maxHelperLogins)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the helpers' logins: %w", err)
	}
	var w wireHelperLogins
	if json.Unmarshal(b, &w) != nil || w.Version != helperLoginsVersion {
		return nil, fmt.Errorf("%s: not of this version of Berth; the agent or berth apply writes it again", path)
	}
	all := make(HelperLogins, len(w.Logins))
	for _, l := range w.Logins {
		l.HelperLogin.Password = redact.New(l.Password)
		all[l.Registry] = l.HelperLogin
	}
	return all, nil
}

// UseHelperLogins fills the logins of credential helpers from the file beside the rules. Without
// such logins it reads nothing. A file that cannot be used is the reason for each of them, for
// [Provider.HelperErrors].
func (r *Rules) UseHelperLogins(dir string, now time.Time) map[string]error {
	if !slices.ContainsFunc(r.Registries, Login.FromHelper) {
		return nil
	}
	all, err := ReadHelperLogins(dir)
	r.Registries = all.Fill(r.Registries, now)
	reasons := map[string]error{}
	for _, l := range r.Registries {
		if err != nil && l.FromHelper() {
			reasons[l.Name()] = err
		}
	}
	return reasons
}

// NoHelperLoginError means that a credential helper has given no login that can still be used.
type NoHelperLoginError struct {
	Registry, Program string
	Err               error // why, nil if that is not known here
}

// Error names the registry and the program.
func (e *NoHelperLoginError) Error() string {
	text := fmt.Sprintf("%s: no login of its credential helper %s", e.Registry, e.Program)
	if e.Err != nil {
		return text + ": " + e.Err.Error()
	}
	return text + ` is stored; "berth status" shows why, "berth apply" asks it`
}

// Unwrap returns the reason.
func (e *NoHelperLoginError) Unwrap() error { return e.Err }
