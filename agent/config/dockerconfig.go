package config

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/berth-registry/berth/internal/redact"
)

// dockerEntry is an entry of "auths" in Docker's config.json, which is also the
// content of a Kubernetes secret of type kubernetes.io/dockerconfigjson.
// https://github.com/docker/cli/blob/master/cli/config/types/authconfig.go
type dockerEntry struct {
	Auth          string `json:"auth"`
	Username      string `json:"username"`
	Password      string `json:"password"`
	IdentityToken string `json:"identitytoken"`
	RegistryToken string `json:"registrytoken"`
}

// dockerHub is the key under which docker login stores Docker Hub.
const dockerHub = "https://index.docker.io/v1/"

func (c *checker) dockerConfig(s *spot) {
	path := c.cfg.DockerConfigFile
	if path == "" {
		return
	}
	data, ok := c.read(s, path, maxConfigSize, true)
	if !ok {
		return
	}
	var file struct {
		Auths map[string]dockerEntry `json:"auths"`
	}
	switch err := json.Unmarshal(data, &file); {
	case len(bytes.TrimSpace(data)) == 0:
		c.reject(s, path, `is empty; it must be {"auths": {…}}`)
		return
	case !utf8.Valid(data):
		// Decoding would put other characters in place of what is wrong.
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

// dockerLogins takes over the entries. Several keys may name one host; the
// first in this order counts: Docker's own key for Docker Hub, then by name.
func (c *checker) dockerLogins(s *spot, path string, auths map[string]dockerEntry) {
	keys := slices.Sorted(maps.Keys(auths))
	slices.SortStableFunc(keys, func(a, b string) int {
		switch {
		case a == dockerHub:
			return -1
		case b == dockerHub:
			return 1
		}
		return 0
	})
	from := map[string]string{}
	c.cfg.DockerConfig = []DockerLogin{}
	for _, key := range keys {
		entry := auths[key]
		host, err := dockerHost(key)
		if err != nil {
			c.reject(s, path, "key %q: %s", showAddress(key), reason(key, err))
			continue
		}
		if host == "" {
			c.warn(s, "%s: key %q is not used: a pattern; write each host in full", path, key)
			continue
		}
		username, password, mistake := entry.login()
		switch {
		case mistake != "":
			c.reject(s, path, "key %q: %s", key, mistake)
		case entry.IdentityToken != "" || entry.RegistryToken != "":
			c.warn(s, "%s: key %q is not used: an identity token is no login; use a user name with a password or an access token", path, key)
		case username == "" && password == "":
			c.warn(s, "%s: key %q is not used: it holds no login (it may be in a credential helper)", path, key)
		case username == "" || password == "":
			c.reject(s, path, "key %q: needs both a user name and a password", key)
		case hasControl(username) || hasControl(password) || strings.Contains(username, ":"):
			c.reject(s, path, "key %q: the login holds a control character, or the user name a colon", key)
		case !isText(username) || !isText(password):
			c.reject(s, path, "key %q: the login is not UTF-8; write it anew in UTF-8, or choose one without special characters", key)
		case from[OneSpelling(host, false)] != "":
			c.warn(s, "%s: key %q is not used: %q is for %s too", path, key, from[OneSpelling(host, false)], host)
		default:
			from[OneSpelling(host, false)] = key
			c.cfg.DockerConfig = append(c.cfg.DockerConfig, DockerLogin{Host: host, Username: username, Password: redact.New(password)})
		}
	}
	slices.SortFunc(c.cfg.DockerConfig, func(a, b DockerLogin) int { return strings.Compare(a.Host, b.Host) })
}

// login gives what the entry holds. As with docker and kubelet, auth wins over
// username and password. The mistake never holds a part of the value.
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

// dockerHost turns a key into host[:port][/path]: the scheme and a last /v1/ or
// /v2/ go, and Docker Hub's names become docker.io. It is "" for a pattern,
// which kubelet would match by globbing.
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
	switch strings.ToLower(host) {
	case "docker.io", "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com":
		if hasPath && strings.HasPrefix(path, "v1/") {
			path, hasPath = "", false // v1/access-token and v1/refresh-token
		}
		host = "docker.io"
	}
	if strings.ContainsAny(name, "*?[") && !strings.HasPrefix(name, "[") {
		return "", nil
	}
	if hasPath {
		host += "/" + path
	}
	return registryHost(host)
}

// notUTF8 gives the line of the first byte that is not UTF-8.
func notUTF8(data []byte) int {
	return 1 + bytes.Count(data[:len(data)-len(bytes.TrimLeftFunc(data, func(r rune) bool { return r != utf8.RuneError }))], []byte("\n"))
}

// jsonMistake says where a JSON file is wrong and nothing of what it holds.
func jsonMistake(data []byte, err error) string {
	var syntax *json.SyntaxError
	var wrongType *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		before := data[:min(int(syntax.Offset), len(data))]
		return fmt.Sprintf(`is no valid JSON at line %d; it must be {"auths": {…}}`, 1+bytes.Count(before, []byte("\n")))
	case errors.As(err, &wrongType):
		return fmt.Sprintf("%s must be %s", wrongType.Field, jsonKind(wrongType))
	}
	return `is no valid JSON; it must be {"auths": {…}}`
}

func jsonKind(err *json.UnmarshalTypeError) string {
	if err.Type.Kind().String() == "string" {
		return "a string"
	}
	return "an object { }"
}
