package convert

import (
	"encoding/base64"
	"strings"
	"unicode/utf8"

	"github.com/berth-registry/berth/internal/redact"
)

const noLogin = "images from there are pulled without a login"

// decodeAuth decodes the base64 form of user:password.
func decodeAuth(encoded string) (user, password string, ok bool) {
	decoded, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		if decoded, err = base64.RawStdEncoding.DecodeString(encoded); err != nil {
			return "", "", false
		}
	}
	user, password, ok = strings.Cut(string(decoded), ":")
	return user, strings.Trim(password, "\x00"), ok && user != ""
}

// setLogin stores a login in r, or reports why it is unusable: half of it is missing, or it has
// characters that Basic authentication cannot carry.
func (d *draft) setLogin(c cursor, r *registry, user, password string) {
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
	case strings.ContainsFunc(user+password, isControl):
		what = "a login with a control character in it cannot be sent"
	case strings.Contains(user, ":"):
		what = "a username with a colon cannot be sent with Basic authentication"
	}
	if what != "" {
		d.lose(c.loss(what, noLogin))
		return
	}
	r.login = &login{username: user, password: redact.New(password)}
	if isECR(hostOnly(r.host)) {
		r.note("A token of ECR lives for 12 hours. Remove username and password, and Berth fetches tokens itself (see ecr in https://github.com/berth-registry/berth/blob/main/docs/configuration.md).")
	}
}

func isControl(r rune) bool { return r < 0x20 || r >= 0x7f && r < 0xa0 }

// path returns the path of a file, "" if it cannot be one.
func (d *draft) path(c cursor) string {
	p := c.text()
	if p == "" {
		return ""
	}
	if !utf8.ValidString(p) || strings.ContainsFunc(p, isControl) {
		d.lose(c.loss("is not a file path: it contains control characters", "the file is not used"))
		return ""
	}
	return p
}
