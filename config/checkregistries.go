package config

import (
	"strings"

	"github.com/berth-registry/berth/internal/dockerhub"
	"github.com/berth-registry/berth/internal/hostport"
)

func (c *checker) registries(list *location) {
	seen := make(map[string]int, len(c.cfg.Registries))
	for i := range c.cfg.Registries {
		r, s := &c.cfg.Registries[i], list.item(i)
		c.registryHost(s, r, seen)
		c.login(s, r)
		c.oneOf(s.field("auth"), string(r.Auth), string(AuthAuto), string(AuthBasic), string(AuthToken))
		c.tls(s.field("tls"), &r.TLS)
		c.registryPlainHTTP(s, r)
	}
	c.checkDuplicates(list)
}

func (c *checker) registryHost(registry *location, r *Registry, seen map[string]int) {
	s := registry.field("host")
	if c.require(s, "write host[:port], or host[:port]/path") {
		return
	}
	name, err := registryHost(r.Host)
	if err != nil {
		c.badName(s, r.Host, err)
		return
	}
	r.Host = name
	c.website(s, name, dockerhub.Name)
	line, _ := s.position()
	if first, ok := seen[name]; ok {
		c.reject(s, name, "already has an entry on line %d; keep one of them", first)
		return
	}
	seen[name] = line
}

// login checks the user name and password and reads the password file.
func (c *checker) login(s *location, r *Registry) {
	username, password, file := s.field("username"), s.field("password"), s.field("passwordFile")
	switch {
	case !password.unset() && !file.unset():
		c.refuse(file, "is given together with password; keep one of them")
	case username.unset() && !password.unset():
		c.refuse(password, "is given without username; add it")
	case username.unset() && !file.unset():
		c.refuse(file, "is given without username; add it")
	case !username.unset() && password.unset() && file.unset():
		c.refuse(username, "is given without a password; add passwordFile, or password")
	}
	if strings.Contains(r.Username, ":") || hasControl(r.Username) {
		c.reject(username, r.Username, "must not contain a colon or a control character, which a login over HTTP cannot carry")
	}
	if hasControl(r.Password.Reveal()) {
		c.refuse(password, "must not contain control characters or line breaks; a password of several lines goes into a file, passwordFile")
	}
	if !r.Password.IsZero() {
		c.inline(password, "passwordFile")
	}
	if r.PasswordFile != "" && password.unset() {
		r.Password = c.secretFile(file, &r.PasswordFile, notPassword)
	}
}

// inline warns about a secret in a RegistryConfig that other users may read.
func (c *checker) inline(s *location, instead string) {
	if c.mode.Perm()&0o044 == 0 {
		return
	}
	c.warn(s, "others on this machine can read %s (mode %04o) and so this secret; use %s, or chmod 0600",
		c.file, c.mode.Perm(), instead)
}

// registryPlainHTTP sets the default of plainHTTP and checks it against tls.
func (c *checker) registryPlainHTTP(s *location, r *Registry) {
	at := s.field("plainHTTP")
	host, _, _ := strings.Cut(r.Host, "/")
	secured := r.TLS.CAFile != "" || r.TLS.CertFile != "" || r.TLS.KeyFile != "" || r.TLS.InsecureSkipVerify
	if at.unset() {
		r.PlainHTTP = hostport.IsLoopback(host) && !secured
		return
	}
	r.PlainHTTPGiven = hostport.IsLoopback(host)
	if r.PlainHTTP && secured {
		c.reject(at, "true", "tls has settings, which plain http does not use; remove one of them")
	}
}
