package config

import (
	"path"
	"strings"
	"time"

	"github.com/berth-registry/berth/credprovider"
	"github.com/berth-registry/berth/internal/dockerhub"
	"github.com/berth-registry/berth/internal/hostport"
)

func (c *checker) registries(list *location) {
	seen := make(map[string]int, len(c.cfg.Registries))
	for i := range c.cfg.Registries {
		r, s := &c.cfg.Registries[i], list.Item(i)
		c.registryHost(s, r, seen)
		c.login(s, r)
		c.credentialHelper(s, r)
		c.tokenRealms(s.Field("tokenRealms"), r)
		c.oneOf(s.Field("auth"), string(r.Auth), string(AuthAuto), string(AuthBasic), string(AuthToken))
		c.tls(s.Field("tls"), &r.TLS)
		c.registryPlainHTTP(s, r)
	}
	c.checkDuplicates(list)
}

func (c *checker) registryHost(registry *location, r *Registry, seen map[string]int) {
	s := registry.Field("host")
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
	line, _ := s.Position()
	if first, ok := seen[name]; ok {
		c.reject(s, name, "already has an entry on line %d; keep one of them", first)
		return
	}
	seen[name] = line
}

// login checks the user name and password and reads the password file.
func (c *checker) login(s *location, r *Registry) {
	username, password, file := s.Field("username"), s.Field("password"), s.Field("passwordFile")
	switch {
	case !password.Unset() && !file.Unset():
		c.refuse(file, "is given together with password; keep one of them")
	case username.Unset() && !password.Unset():
		c.refuse(password, "is given without username; add it")
	case username.Unset() && !file.Unset():
		c.refuse(file, "is given without username; add it")
	case !username.Unset() && password.Unset() && file.Unset():
		c.refuse(username, "is given without a password; add passwordFile, or password")
	}
	if strings.Contains(r.Username, ":") || hasControl(r.Username) {
		c.reject(username, r.Username, "must not contain a colon or a control character, which a login over HTTP cannot carry; "+
			"create an access token or a robot account without one")
	}
	if r.Username == credprovider.TokenUser {
		c.warn(username, "%s is the user name of an identity token: %s", credprovider.TokenUser, strings.Replace(noteIdentityToken, "its identity token", "it", 1))
	}
	if hasControl(r.Password.Reveal()) {
		c.refuse(password, "must not contain control characters or line breaks; a password of several lines goes into a file, passwordFile")
	}
	if !r.Password.IsZero() {
		c.inline(password, "passwordFile")
	}
	if r.PasswordFile != "" && password.Unset() {
		r.Password = c.secretFile(file, &r.PasswordFile, notPassword)
	}
}

// The defaults of refresh and maxStale.
const (
	defaultRefresh  = Duration(30 * time.Minute)
	defaultMaxStale = Duration(12 * time.Hour)
)

// credentialHelper checks the program that gives the login, and how long its answers are used.
func (c *checker) credentialHelper(s *location, r *Registry) {
	at, refresh, stale := s.Field("credentialHelper"), s.Field("refresh"), s.Field("maxStale")
	if at.Unset() || r.CredentialHelper == "" {
		// The defaults are no mistake: a printed config has them.
		if !refresh.Unset() && r.Refresh != defaultRefresh {
			c.refuse(refresh, "is given without credentialHelper; remove it")
		}
		if !stale.Unset() && r.MaxStale != defaultMaxStale {
			c.refuse(stale, "is given without credentialHelper; remove it")
		}
		return
	}
	switch name := r.CredentialHelper; {
	case !s.Field("username").Unset() || !s.Field("password").Unset() || !s.Field("passwordFile").Unset():
		c.refuse(at, "is given together with a login; keep one of them")
	case strings.HasPrefix(name, "/"):
		if path.Clean(name) != name || name == "/" || hasControl(name) {
			c.reject(at, name, "must be a clean absolute path of a program, such as /usr/local/bin/docker-credential-gcr")
		}
	case strings.HasPrefix(name, "docker-credential-"):
		c.reject(at, name, "must be the name after docker-credential-, or an absolute path")
	case !isHelperName(name):
		c.reject(at, name, "must be NAME of a program docker-credential-NAME on PATH, such as gcr, or an absolute path")
	}
	if d := time.Duration(r.Refresh); d < time.Minute || d > 24*time.Hour {
		c.reject(refresh, refresh.Written(), "must be from 1m to 24h")
	} else if time.Duration(r.MaxStale) < d {
		c.reject(stale, stale.Written(), "must not be shorter than refresh (%s)", r.Refresh)
	}
}

// isHelperName reports whether name can be the last part of a program's file name.
func isHelperName(name string) bool {
	return name != "" && !strings.ContainsFunc(name, notInRepository) && !strings.HasPrefix(name, ".") &&
		!strings.HasPrefix(name, "-")
}

// tokenRealms checks the hosts of token servers, and brings them to their normal form.
func (c *checker) tokenRealms(list *location, r *Registry) {
	seen := map[string]int{}
	for i, written := range r.TokenRealms {
		s := list.Item(i)
		name, err := registryHost(written)
		switch {
		case err != nil:
			c.badName(s, written, err)
			continue
		case strings.Contains(name, "/"):
			c.reject(s, written, "must be host[:port] without a path")
			continue
		}
		line, _ := s.Position()
		if first, ok := seen[name]; ok {
			c.reject(s, name, "is already given on line %d; keep one of them", first)
			continue
		}
		seen[name], r.TokenRealms[i] = line, name
	}
	if len(r.TokenRealms) > 0 && r.Auth == AuthToken {
		c.refuse(list, "has no effect with auth: token, which sends the login through kubelet; write auth: auto, or remove it")
	}
}

// inline warns about a secret in a RegistryConfig that other users may read.
func (c *checker) inline(s *location, instead string) {
	if c.mode.Perm()&0o044 == 0 {
		return
	}
	c.warn(s, "others on this machine can read %s (mode %04o) and so this secret; use %s, or chmod 0600",
		c.File, c.mode.Perm(), instead)
}

// registryPlainHTTP sets the default of plainHTTP and checks it against tls.
func (c *checker) registryPlainHTTP(s *location, r *Registry) {
	at := s.Field("plainHTTP")
	host, _, _ := strings.Cut(r.Host, "/")
	secured := r.TLS.CAFile != "" || r.TLS.CertFile != "" || r.TLS.KeyFile != "" || r.TLS.InsecureSkipVerify
	if at.Unset() {
		r.PlainHTTP = hostport.IsLoopback(host) && !secured
		return
	}
	r.PlainHTTPGiven = hostport.IsLoopback(host)
	if r.PlainHTTP && secured {
		c.reject(at, "true", "tls has settings, which plain http does not use; remove one of them")
	}
}
