package convert

import "strings"

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
