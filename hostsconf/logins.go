package hostsconf

import (
	"path"
	"slices"
	"strings"

	"github.com/berth-registry/berth/internal/managedfile"
	"github.com/berth-registry/berth/internal/redact"
)

// Login is what a hosts.toml sends to one host: the values of its headers that may be secret.
type Login struct {
	Host  string // the URL as the file has it
	Value redact.Secret
}

// LoginsOf returns the logins before and after a change of a hosts.toml, in file order; for a change
// that writes nothing, both are the same.
func LoginsOf(c Change) (before, after []Login) {
	if path.Base(c.Path) != fileName {
		return nil, nil
	}
	before = logins(c.Before.Content)
	switch {
	case Writes(c):
		return before, logins(c.After.Content())
	case c.Action == managedfile.Remove:
		return before, nil
	}
	return before, before
}

func logins(content []byte) []Login {
	tokens, _ := tokensOf(content)
	server := ""
	values := map[string][]string{}
	var hosts []string
	for _, t := range tokens {
		switch {
		case t.value && len(t.path) == 1 && strings.EqualFold(t.path[0], "server"):
			server = t.text
		case t.value && t.header && SecretHeader(t.name()):
			host := ""
			if len(t.path) > 2 && strings.EqualFold(t.path[0], "host") {
				host = t.path[1]
			}
			if values[host] == nil {
				hosts = append(hosts, host)
			}
			values[host] = append(values[host], strings.ToLower(t.name())+"\x00"+t.text)
		}
	}
	var all []Login
	for _, host := range hosts {
		slices.Sort(values[host])
		l := Login{Host: host, Value: redact.New(strings.Join(values[host], "\x00"))}
		if host == "" { // the headers of the server stand at the top
			l.Host = server
		}
		all = append(all, l)
	}
	return all
}
