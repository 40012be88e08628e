package config

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/berth-registry/berth/internal/dockerhub"
	"github.com/berth-registry/berth/internal/redact"
)

// dockerEntry is an entry of "auths" in Docker's config.json, which is also the content of a
// Kubernetes secret of type kubernetes.io/dockerconfigjson. Source:
// https://github.com/docker/cli/blob/master/cli/config/types/authconfig.go
type dockerEntry struct {
	Auth          string `json:"auth"`
	Username      string `json:"username"`
	Password      string `json:"password"`
	IdentityToken string `json:"identitytoken"`
	RegistryToken string `json:"registrytoken"`
}

func (c *checker) dockerConfig(s *location) {
	if c.cfg.DockerConfigFile == "" {
		return
	}
	data, ok := c.read(s, &c.cfg.DockerConfigFile, maxConfigSize, true)
	if !ok {
		return
	}
	path := c.cfg.DockerConfigFile
	var file struct {
		Auths map[string]json.RawMessage `json:"auths"`
	}
	switch err := json.Unmarshal(data, &file); {
	case len(bytes.TrimSpace(data)) == 0:
		c.reject(s, path, `is empty; it must be {"auths": {…}}`)
		return
	case !utf8.Valid(data):
		// Decoding would silently replace the invalid bytes.
		c.reject(s, path, "line %d is not UTF-8; save the file as UTF-8", notUTF8(data))
		return
	case err != nil:
		c.reject(s, path, "%s", jsonMistake(data, err))
		return
	case file.Auths == nil:
		c.reject(s, path, `has no "auths"; it must be a .dockerconfigjson: {"auths": {…}}`)
		return
	}
	c.dockerLogins(s, path, file.Auths)
}

// dockerLogins stores the usable entries. Several keys may name one host; the first counts, in this
// order: Docker's own key for Docker Hub, then by name. An unusable entry is only a warning: the
// others still work.
func (c *checker) dockerLogins(s *location, path string, auths map[string]json.RawMessage) {
	keys := slices.Sorted(maps.Keys(auths))
	slices.SortStableFunc(keys, func(a, b string) int {
		switch {
		case a == dockerhub.LoginKey:
			return -1
		case b == dockerhub.LoginKey:
			return 1
		}
		return 0
	})
	from := map[string]string{}
	c.cfg.DockerConfig = []DockerLogin{}
	for i, key := range keys {
		name := shownDockerKey(key, i, len(keys))
		host, err := dockerHost(key)
		if err != nil {
			c.warn(s, "%s: %s is not used: %s", path, name, nameFault(key, err))
			continue
		}
		if host == "" {
			c.warn(s, "%s: %s is not used: it is a pattern; write each host in full", path, name)
			continue
		}
		login, problem := dockerLogin(host, auths[key])
		one := NormalizeHost(host, false)
		switch {
		case problem != "":
			c.warn(s, "%s: %s is not used: %s", path, name, problem)
		case from[one] != "":
			c.warn(s, "%s: %s is not used: %s is for the same host", path, name, from[one])
		default:
			from[one] = name
			c.cfg.DockerConfig = append(c.cfg.DockerConfig, login)
		}
	}
	slices.SortFunc(c.cfg.DockerConfig, func(a, b DockerLogin) int { return strings.Compare(a.Host, b.Host) })
}

// dockerLogin reads one entry. problem says why it cannot be used and repeats no part of it.
func dockerLogin(host string, raw json.RawMessage) (login DockerLogin, problem string) {
	var entry dockerEntry
	if err := json.Unmarshal(raw, &entry); err != nil {
		return DockerLogin{}, entryMistake(err)
	}
	username, password, problem := entry.login()
	switch {
	case problem != "":
	case entry.IdentityToken != "" || entry.RegistryToken != "":
		problem = "an identity token is not supported; use a user name with a password or an access token"
	case username == "" && password == "":
		problem = "it holds no login (it may be in a credential helper)"
	case username == "" || password == "":
		problem = "it needs both a user name and a password"
	case hasControl(username) || strings.Contains(username, ":"):
		problem = "the user name holds a colon or a control character, which a login over HTTP cannot carry"
	case notPassword(password):
		problem = "the password holds a control character, which a login over HTTP cannot carry"
	case !isText(username) || !isText(password):
		problem = "the login is not UTF-8; write it again in UTF-8, or choose one without special characters"
	}
	return DockerLogin{Host: host, Username: username, Password: redact.New(password)}, problem
}

// shownDockerKey names an entry by its key if that is an address, otherwise by its number among the
// sorted keys.
func shownDockerKey(key string, i, n int) string {
	if shown := redact.Address(key); shown != "" || hostAndPort.MatchString(key) {
		return fmt.Sprintf("key %q", cmp.Or(shown, key))
	}
	return fmt.Sprintf("key %d of %d in alphabetical order", i+1, n)
}

// hostAndPort matches a registry name without a dot.
var hostAndPort = regexp.MustCompile(`^[a-z][a-z0-9-]{0,30}:[0-9]{2,5}$`)

// entryMistake names the field of an entry that has the wrong type.
func entryMistake(err error) string {
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok && wrong.Field != "" {
		return wrong.Field + " must be a string"
	}
	return "it must be an object { }"
}

// login returns the login of an entry. As in docker and kubelet, auth wins over username and
// password. mistake holds no part of the value.
func (e dockerEntry) login() (username, password, mistake string) {
	if e.Auth == "" {
		return e.Username, e.Password, ""
	}
	encoded := strings.TrimRight(strings.TrimSpace(e.Auth), "=")
	decoded, err := base64.RawStdEncoding.DecodeString(encoded)
	if err != nil {
		return "", "", "auth is not base64; it must be the base64 of user:password"
	}
	username, password, ok := strings.Cut(string(decoded), ":")
	if !ok {
		return "", "", "auth has no colon; it must be the base64 of user:password"
	}
	return username, strings.TrimRight(password, "\x00"), ""
}

// dockerHost converts a key to host[:port][/path]: it drops the scheme and a trailing /v1/ or /v2/,
// and maps Docker Hub's names to docker.io. It returns "" for a pattern, which kubelet would match
// by globbing.
func dockerHost(key string) (string, error) {
	name := strings.TrimSpace(key)
	for _, scheme := range []string{"https://", "http://"} {
		if len(name) > len(scheme) && strings.EqualFold(name[:len(scheme)], scheme) {
			name = name[len(scheme):]
		}
	}
	name = strings.TrimRight(name, "/")
	for _, suffix := range []string{"/v1", "/v2"} {
		name = strings.TrimSuffix(name, suffix)
	}
	host, path, hasPath := strings.Cut(name, "/")
	if dockerhub.Is(host) && strings.HasPrefix(path, "v1/") {
		path, hasPath = "", false // v1/access-token and v1/refresh-token
	}
	host = dockerhub.Canonical(host)
	if strings.ContainsAny(name, "*?[") && !strings.HasPrefix(name, "[") {
		return "", nil
	}
	if hasPath {
		host += "/" + path
	}
	return registryHost(host)
}

// notUTF8 returns the line of the first byte that is not UTF-8.
func notUTF8(data []byte) int {
	return 1 + bytes.Count(data[:len(data)-len(bytes.TrimLeftFunc(data, func(r rune) bool { return r != utf8.RuneError }))], []byte("\n"))
}

// jsonMistake says where a JSON file is invalid and shows none of its content.
func jsonMistake(data []byte, err error) string {
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		before := data[:min(int(syntax.Offset), len(data))]
		return fmt.Sprintf(`is not valid JSON at line %d; it must be {"auths": {…}}`, 1+bytes.Count(before, []byte("\n")))
	}
	return `has another form; it must be {"auths": {"registry.corp": {"auth": …}}}`
}
