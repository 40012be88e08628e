package tokensim

import "testing"

// TestIdentities: a token of one identity is in no header, answer or file of another one in the same
// region, each is renewed, and a failure of one is not the others'.
func TestIdentities(t *testing.T) {
	failures, alone := 0, 0
	for seed := range uint64(2) {
		r := Identities(t, IdentityOptions{Seed: seed, Span: 2 * tryDays * day, Dir: t.TempDir()})
		if err := r.Verdict(); err != nil {
			t.Error(err)
		}
		for i := range accounts {
			failures += r.Failures[i]
			if r.Tokens[i] < 10 {
				t.Errorf("seed %d: identity %d was not renewed: %+v", seed, i, r)
			}
		}
		if r.Headers < 500 || r.Answers < 100 || r.Files < 500 {
			t.Errorf("seed %d: hardly anything was compared: %+v", seed, r)
		}
		alone += r.Alone
	}
	if failures < 100 || alone < 10 {
		t.Errorf("%d failures, %d times of one identity alone", failures, alone)
	}
}

// TestIdentitiesNotices: the trial sees token files that do not tell identities apart.
func TestIdentitiesNotices(t *testing.T) {
	o := IdentityOptions{Seed: 1, Span: tryDays * day, Dir: t.TempDir(), FilesByRegion: true}
	if r := Identities(t, o); r.Mixed == 0 {
		t.Errorf("nothing was mixed up: %+v", r)
	}
}
