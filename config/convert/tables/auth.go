package tables

import (
	"strings"

	"github.com/berth-registry/berth/config/convert/draft"
	"github.com/berth-registry/berth/config/convert/source"
)

// credentials reads the auth table of k3s or containerd and stores the login that containerd would
// use: username and password, else the identity token, else the base64 form (ParseAuth in
// containerd's image_pull.go).
func (d *reader) credentials(c source.Cursor, identityToken string, r *draft.Registry) {
	if !c.Mapping("username and password below it") {
		return
	}
	c.Value.Login = true
	user, password := c.Get("username").Text(), c.Get("password").Text()
	encoded := strings.TrimSpace(c.Get("auth").Text())
	token := c.Get(identityToken)
	hasToken := token.Text() != ""
	where := c
	if user == "" && encoded != "" {
		where = c.Get("auth")
		var ok bool
		if user, password, ok = draft.DecodeAuth(encoded); !ok {
			where.Fail("is not the base64 form of user:password; write username and password " +
				"instead")
			return
		}
		if hasToken {
			d.Lose(token.Loss("an identity token cannot be carried over, and it was used before "+
				"auth",
				"the login of auth is used now; check that it is still valid"))
			hasToken = false
		}
	}
	switch {
	case hasToken && user == "":
		d.Lose(token.Loss("an identity token cannot be carried over: Berth logs in with a "+
			"username and a password",
			draft.NoLogin+"; create an access token for it and write it under registries"))
		return
	case hasToken:
		r.Note("The identity token beside the username is left out: containerd never used it.")
	}
	d.SetLogin(where, r, user, password)
}

// tls reads the tls table of k3s or containerd.
func (d *reader) tls(c source.Cursor) draft.TLS {
	if !c.Mapping("ca_file, cert_file, key_file or insecure_skip_verify below it") {
		return draft.TLS{}
	}
	t := draft.TLS{CA: d.Path(c.Get("ca_file")), SkipVerify: c.Get("insecure_skip_verify").Bool()}
	cert, key := d.Path(c.Get("cert_file")), d.Path(c.Get("key_file"))
	if (cert == "") != (key == "") {
		d.Lose(c.Loss("a client certificate needs both cert_file and key_file",
			d.Format.Program()+" refused it too; this host is asked without a client certificate"))
		return t
	}
	t.Cert, t.Key = cert, key
	return t
}
