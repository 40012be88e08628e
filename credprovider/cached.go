package credprovider

import "github.com/berth-registry/berth/credprovider/ecr"

// Cached returns the token for r from the token files, if one is usable. It opens no connection and
// writes nothing.
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
