package draft

import (
	"encoding/base64"
	"strings"
	"unicode/utf8"

	"github.com/berth-registry/berth/config/convert/source"
	"github.com/berth-registry/berth/internal/docs"
	"github.com/berth-registry/berth/internal/redact"
)

// NoLogin is the effect of a login that is not carried over.
const NoLogin = "images from there are pulled without a login"

// DecodeAuth decodes the base64 form of user:password.
func DecodeAuth(encoded string) (user, password string, ok bool) {
	decoded, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		if decoded, err = base64.RawStdEncoding.DecodeString(encoded); err != nil {
			return "", "", false
		}
	}
	user, password, ok = strings.Cut(string(decoded), ":")
	return user, strings.Trim(password, "\x00"), ok && user != ""
}

// SetLogin stores a login in r, or reports why it is unusable: half of it is missing, or it has
// characters that Basic authentication cannot carry.
func (d *Draft) SetLogin(c source.Cursor, r *Registry, user, password string) {
	what := ""
	switch {
	case user == "" && password == "":
		return
	case user == "":
		what = "a password without a username is not a login"
	case password == "":
		what = "a username without a password is not a login"
	case !utf8.ValidString(user) || !utf8.ValidString(password):
		what = "a login that is not UTF-8 cannot be written in YAML"
	case strings.ContainsFunc(user+password, IsControl):
		what = "a login with a control character in it cannot be sent"
	case strings.Contains(user, ":"):
		what = "a username with a colon cannot be sent with Basic authentication"
	}
	if what != "" {
		d.Lose(c.Loss(what, NoLogin))
		return
	}
	r.Login = &Login{Username: user, Password: redact.New(password)}
	if IsECR(HostOnly(r.Host)) {
		r.Note("A token of ECR lives for 12 hours. Remove username and password, and Berth "+
			"fetches tokens itself (see %s).", docs.URL("configuration.md#ecr"))
	}
}

// IsControl reports whether r is a control character.
func IsControl(r rune) bool { return r < 0x20 || r >= 0x7f && r < 0xa0 }

// Path returns the path of a file, "" if it cannot be one.
func (d *Draft) Path(c source.Cursor) string {
	p := c.Text()
	if p == "" {
		return ""
	}
	if !utf8.ValidString(p) || strings.ContainsFunc(p, IsControl) {
		d.Lose(c.Loss("is not a file path: it contains control characters", "the file is not used"))
		return ""
	}
	return p
}
