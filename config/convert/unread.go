package convert

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// unread returns a loss for every field below c that the converter did not read: the program does not
// know it, so it never had an effect.
func (c cursor) unread(program string) (lost []Loss) {
	if c.absent() || c.v.skipped {
		return nil
	}
	for i, item := range c.v.items {
		at := cursor{in: c.in, v: item, path: c.path + "[" + strconv.Itoa(i) + "]"}
		lost = append(lost, at.unread(program)...)
	}
	for _, f := range c.v.fields {
		next := cursor{in: c.in, v: f.value, path: c.in.join(c.path, f.name), name: f.name, line: f.line, column: f.column}
		switch {
		case f.read:
			lost = append(lost, next.unread(program)...)
		case strings.HasPrefix(f.name, "x-"):
			// conventional place for anchors
		case mayShowName(f, c.v.login):
			lost = append(lost, next.loss("is not a field that "+program+" knows",
				"it had no effect before either; check its spelling"))
		default:
			next.path = c.path
			lost = append(lost, next.loss("holds a field that "+program+" does not know; its name may be a secret and is not repeated",
				"it had no effect before either; check its spelling, and that a space follows each colon"))
		}
	}
	return lost
}

// fieldName matches a plausible field name.
var fieldName = regexp.MustCompile(`^[A-Za-z][A-Za-z_-]{0,39}$`)

// loginNames are field names that people write beside a login.
var loginNames = []string{
	"user", "usr", "name", "login", "username", "user_name", "userName", "pass", "passwd", "pwd", "password", "pasword",
	"secret", "token", "auth", "email", "identity_token", "identitytoken", "identityToken", "registry_token",
	"registrytoken", "registryToken", "type", "region", "profile", "role", "role_arn",
}

// mayShowName reports whether a message may repeat the name of an unknown field. "password:S" without
// a space, and {S}, are names without a value; so beside a login only known names are shown.
func mayShowName(f *field, login bool) bool {
	if f.value == nil || f.value.kind == null || !fieldName.MatchString(f.name) {
		return false
	}
	return !login || slices.Contains(loginNames, f.name)
}
