package convert

import (
	"encoding/base64"
	"strings"
	"unicode/utf8"

	"github.com/berth-registry/berth/internal/redact"
)

const noLogin = "images from there are pulled without a login"

// credentials reads the auth table of k3s or containerd and stores the login that containerd would
// use: username and password, else the identity token, else the base64 form (ParseAuth in
// containerd's image_pull.go).
func (d *tables) credentials(c cursor, identityToken string, r *registry) {
	if !c.mapping("username and password below it") {
		return
	}
	c.v.login = true
	user, password := c.get("username").text(), c.get("password").text()
	encoded := strings.TrimSpace(c.get("auth").text())
	token := c.get(identityToken)
	hasToken := token.text() != ""
	where := c
	if user == "" && encoded != "" {
		where = c.get("auth")
		var ok bool
		if user, password, ok = decodeAuth(encoded); !ok {
			where.fail("is not the base64 form of user:password; write username and password instead")
			return
		}
		if hasToken {
			d.lose(token.loss("an identity token cannot be carried over, and it was used before auth",
				"the login of auth is used now; check that it is still valid"))
			hasToken = false
		}
	}
	switch {
	case hasToken && user == "":
		d.lose(token.loss("an identity token cannot be carried over: Berth logs in with a username and a password",
			noLogin+"; create an access token for it and write it under registries"))
		return
	case hasToken:
		r.note("The identity token beside the username is left out: containerd never used it.")
	}
	d.setLogin(where, r, user, password)
}

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

// tls reads the tls table of k3s or containerd.
func (d *tables) tls(c cursor) tlsFiles {
	if !c.mapping("ca_file, cert_file, key_file or insecure_skip_verify below it") {
		return tlsFiles{}
	}
	t := tlsFiles{ca: d.path(c.get("ca_file")), skipVerify: c.get("insecure_skip_verify").boolValue()}
	cert, key := d.path(c.get("cert_file")), d.path(c.get("key_file"))
	if (cert == "") != (key == "") {
		d.lose(c.loss("a client certificate needs both cert_file and key_file",
			d.format.program()+" refused it too; this host is asked without a client certificate"))
		return t
	}
	t.cert, t.key = cert, key
	return t
}

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
