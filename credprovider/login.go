package credprovider

import (
	"strings"
	"time"

	"github.com/berth-registry/berth/internal/redact"
)

// TokenUser is the user name of an identity token: a refresh token of the OAuth2 flow, for which a
// token server gives Bearer tokens. Source: the protocol of docker's credential helpers,
// https://github.com/docker/docker-credential-helpers
const TokenUser = "<token>"

// AzureTokenUser is the user name with which Azure's registries take their identity tokens as a
// password. Source:
// https://learn.microsoft.com/azure/container-registry/container-registry-authentication
const AzureTokenUser = "00000000-0000-0000-0000-000000000000"

// Login is a username and a password for one host, or for the repositories below one path of it.
// Two other forms are no password: an identity token has the username [TokenUser], a Bearer token
// has Bearer.
type Login struct {
	Host     string        `json:"host"`           // host[:port] in lower case
	Path     string        `json:"path,omitempty"` // "" or "team/app"
	Username string        `json:"username"`
	Password redact.Secret `json:"-"`
	// Token says that the registry accepts Bearer tokens only, so a header with the login is
	// useless.
	Token bool `json:"token,omitempty"`
	// Bearer says that Password is a Bearer token, which is sent as it is; Username is "" then.
	Bearer bool `json:"bearer,omitempty"`
	// Helper is the program of a credential helper that gives the login, see [HelperSource]; then
	// Username and Password are its answer, empty if there is none. MaxStale belongs to it, and
	// Expires is when the answer is no longer used.
	Helper   string        `json:"helper,omitempty"`
	MaxStale time.Duration `json:"maxStale,omitempty"`
	Expires  time.Time     `json:"-"`
}

// FromHelper reports whether a credential helper gives the login.
func (l Login) FromHelper() bool { return l.Helper != "" }

// Missing reports whether the login's helper has given no answer that can be used.
func (l Login) Missing() bool { return l.FromHelper() && l.Password.IsZero() }

// Rule names the login in messages.
func (l Login) Rule() string { return "login " + l.Name() }

// Source names where the login comes from, "" for the config.
func (l Login) Source() string {
	if !l.FromHelper() {
		return ""
	}
	return HelperSource{Program: l.Helper}.String()
}

// IsPassword reports whether l is a username with a password, as in Basic authentication. kubelet
// passes nothing else: a provider's answer has no field for a token, and containerd's CRI reads no
// Bearer token.
func (l Login) IsPassword() bool { return l.Username != TokenUser && !l.Bearer }

// Name is the login as the config names it: host[:port][/path].
func (l Login) Name() string {
	if l.Path == "" {
		return l.Host
	}
	return l.Host + "/" + l.Path
}

// Logins finds logins by host and path.
type Logins struct {
	lists []map[string][]Login // by host
}

// NewLogins makes lists of logins searchable. A login of an earlier list wins over those of later
// ones; within a list the longest path wins.
func NewLogins(lists ...[]Login) Logins {
	var l Logins
	for _, list := range lists {
		byHost := make(map[string][]Login, len(list))
		for _, login := range list {
			byHost[login.Host] = append(byHost[login.Host], login)
		}
		l.lists = append(l.lists, byHost)
	}
	return l
}

// SplitHost splits host[:port][/path].
func SplitHost(name string) (host, path string) {
	host, path, _ = strings.Cut(name, "/")
	return host, strings.Trim(path, "/")
}

// For returns the login for a repository, or a prefix of repositories, on host, which is asked with
// scheme ("https" or "http"). All spellings of the host count, and the longest path wins; between
// equal paths the login wins whose host is spelled like host. Paths match by whole segments: team
// covers team/app, not team-evil.
func (l Logins) For(host, scheme, path string) (Login, bool) {
	return l.find(Spellings(host, scheme), path)
}

func (l Logins) find(spellings []string, path string) (Login, bool) {
	for _, list := range l.lists {
		var best Login
		found := false
		for _, host := range spellings {
			for _, login := range list[host] {
				if Within(path, login.Path) && (!found || len(login.Path) > len(best.Path)) {
					best, found = login, true
				}
			}
		}
		if found {
			return best, true
		}
	}
	return Login{}, false
}

// Below lists the logins that are only for a part of the repositories below path. For that part a
// login of path itself would be wrong.
func (l Logins) Below(host, scheme, path string) []Login {
	var all []Login
	spellings := Spellings(host, scheme)
	for _, list := range l.lists {
		for _, spelling := range spellings {
			for _, login := range list[spelling] {
				if login.Path == path || !Within(login.Path, path) {
					continue
				}
				if winner, ok := l.find(spellings, login.Path); ok && winner == login {
					all = append(all, login)
				}
			}
		}
	}
	return all
}

// Within reports whether path is prefix or below it.
func Within(path, prefix string) bool {
	if prefix == "" {
		return true
	}
	rest, ok := strings.CutPrefix(path, prefix)
	return ok && (rest == "" || rest[0] == '/')
}
