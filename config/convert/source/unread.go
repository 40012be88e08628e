package source

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Unread returns a loss for every field below c that the converter did not read: the program does
// not know it, so it never had an effect.
func (c Cursor) Unread(program string) (lost []Loss) {
	if c.Absent() || c.Value.skipped {
		return nil
	}
	for i, item := range c.Value.Items {
		at := Cursor{In: c.In, Value: item, Path: c.Path + "[" + strconv.Itoa(i) + "]"}
		lost = append(lost, at.Unread(program)...)
	}
	for _, f := range c.Value.Fields {
		next := Cursor{In: c.In, Value: f.Value, Path: c.In.Join(c.Path, f.Name), Name: f.Name,
			Line: f.Line, Column: f.Column}
		switch {
		case f.Read:
			lost = append(lost, next.Unread(program)...)
		case strings.HasPrefix(f.Name, "x-"):
			// conventional place for anchors
		case mayShowName(f, c.Value.Login):
			lost = append(lost, next.Loss("is not a field that "+program+" knows",
				"it had no effect before either; check its spelling"))
		default:
			next.Path = c.Path
			lost = append(lost, next.Loss("holds a field that "+program+" does not know; its "+
				"name may be a secret and is not repeated",
				"it had no effect before either; check its spelling, and that a space follows "+
					"each colon"))
		}
	}
	return lost
}

// fieldName matches a plausible field name.
var fieldName = regexp.MustCompile(`^[A-Za-z][A-Za-z_-]{0,39}$`)

// IsFieldName reports whether a name looks like that of a field, so that a message may repeat it.
func IsFieldName(name string) bool { return fieldName.MatchString(name) }

// loginNames are field names that people write beside a login.
var loginNames = []string{
	"user", "usr", "name", "login", "username", "user_name", "userName",
	"pass", "passwd", "pwd", "password", "pasword", "secret", "token", "auth", "email",
	"identity_token", "identitytoken", "identityToken",
	"registry_token", "registrytoken", "registryToken",
	"type", "region", "profile", "role", "role_arn",
}

// mayShowName reports whether a message may repeat the name of an unknown field. "password:S"
// without a space, and {S}, are names without a value; so beside a login only known names are
// shown.
func mayShowName(f *Field, login bool) bool {
	if f.Value == nil || f.Value.Kind == Null || !IsFieldName(f.Name) {
		return false
	}
	return !login || slices.Contains(loginNames, f.Name)
}
