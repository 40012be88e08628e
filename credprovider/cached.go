package credprovider

import "github.com/berth-registry/berth/credprovider/ecr"

// Cached gives the token for r that the files hold, if one is good for a
// while. It asks nobody and writes nothing.
func (t *Tokens) Cached(r ecr.Registry) (Token, bool) {
	if t.known(r) != nil {
		return Token{}, false
	}
	v := t.view(r)
	if v.serving < 0 {
		return Token{}, false
	}
	return v.token(v.serving), true
}
