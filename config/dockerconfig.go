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

	"github.com/berth-registry/berth/config/syntax"
	"github.com/berth-registry/berth/credprovider"
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
	data, ok := c.read(s, &c.cfg.DockerConfigFile, syntax.MaxSize, true)
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
		login, problem, note := dockerLogin(host, auths[key])
		one := NormalizeHost(host, false)
		switch {
		case problem != "":
			c.warn(s, "%s: %s is not used: %s", path, name, problem)
		case from[one] != "":
			c.warn(s, "%s: %s is not used: %s is for the same host", path, name, from[one])
		default:
			from[one] = name
			c.cfg.DockerConfig = append(c.cfg.DockerConfig, login)
			if note != "" {
				c.warn(s, "%s: %s: %s", path, name, note)
			}
		}
	}
	slices.SortFunc(c.cfg.DockerConfig, func(a, b DockerLogin) int { return strings.Compare(a.Host, b.Host) })
}

// dockerLogin reads one entry. problem says why it cannot be used, note what of it is not used or
// not everywhere. Both repeat no part of it.
func dockerLogin(host string, raw json.RawMessage) (login DockerLogin, problem, note string) {
	var entry dockerEntry
	if err := json.Unmarshal(raw, &entry); err != nil {
		return DockerLogin{}, entryMistake(err), ""
	}
	username, password, problem := entry.login()
	if problem != "" {
		return DockerLogin{}, problem, ""
	}
	if entry.contradicts(username, password) {
		note = "auth and username or password contradict each other; auth is used, as docker and kubelet do"
	}
	bearer := false
	switch {
	case username != "" && password != "":
		if entry.IdentityToken != "" || entry.RegistryToken != "" {
			note = "only its user name and password are used, not its token; for the token alone, remove them"
		}
	case entry.IdentityToken != "":
		// Azure takes its tokens as a password, with a user name of its own.
		if username != credprovider.AzureTokenUser {
			username = credprovider.TokenUser
		}
		password = entry.IdentityToken
	case entry.RegistryToken != "":
		username, password, bearer = "", entry.RegistryToken, true
		note = noteRegistryToken
	}
	if username == credprovider.TokenUser {
		note = noteIdentityToken
	}
	return DockerLogin{Host: host, Username: username, Password: redact.New(password), Bearer: bearer},
		loginProblem(username, password, bearer), note
}

// What a token serves for, and what to write instead.
const (
	noteIdentityToken = "its identity token serves docker-credential-berth and berth images; kubelet and hosts.toml cannot pass it to containerd; " +
		"for pulls write username and passwordFile of an access token or a robot account under registries"
	noteRegistryToken = "its registrytoken is sent as it is, until its registry refuses it: most live for minutes and for one repository; " +
		"write username and passwordFile of an access token or a robot account under registries"
)

// loginProblem says why a login cannot be used, "" if it can.
func loginProblem(username, password string, bearer bool) string {
	switch {
	case username == "" && password == "":
		return "it holds no login (it may be in a credential helper)"
	case bearer && strings.ContainsFunc(password, func(r rune) bool { return r <= ' ' || r >= 0x7f }):
		return "its registrytoken holds a character that a Bearer token cannot have"
	case bearer:
		return ""
	case username == "" || password == "":
		return "it needs both a user name and a password"
	case hasControl(username) || strings.Contains(username, ":"):
		return "the user name holds a colon or a control character, which a login over HTTP cannot carry; " +
			"create an access token or a robot account without one"
	case notPassword(password):
		return "the password holds a control character, which a login over HTTP cannot carry"
	case !isText(username) || !isText(password):
		return "the login is not UTF-8; write it again in UTF-8, or choose one without special characters"
	}
	return ""
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

// contradicts reports whether the fields beside auth hold another login than auth.
func (e dockerEntry) contradicts(username, password string) bool {
	return e.Username != "" && e.Username != username || e.Password != "" && e.Password != password
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
