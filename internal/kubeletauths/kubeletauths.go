// Package kubeletauths reads and writes logins in docker's two formats as kubelet reads them.
//
// kubelet takes the first file of a list that it can decode, and skips all others, so whether a
// file is valid decides as much as its content. The rules are those of kubelet's
// pkg/credentialprovider/config.go, which is the same from 1.29 to 1.36; the tests in test/kubelet
// compare the results. The package never quotes a file in an error. Start at [Parse].
package kubeletauths

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"github.com/berth-registry/berth/internal/redact"
)

// Format is the format of a file.
type Format string

// The formats.
const (
	ConfigJSON Format = "config.json" // the entries are below "auths"
	DockerCfg  Format = ".dockercfg"  // the entries are at the top
)

// Login is the login of one host.
type Login struct {
	Host     string
	Username string
	Password redact.Secret
}

// errInvalid says that kubelet skips a file.
var errInvalid = errors.New("kubelet cannot decode it")

// Parse returns the logins of a file, ordered by host as written. An error means that kubelet
// skips the file. A file without logins is valid.
func Parse(format Format, content []byte) ([]Login, error) {
	entries := map[string]entry{}
	var err error
	switch format {
	case DockerCfg:
		err = json.Unmarshal(content, &entries)
	default:
		var file struct {
			Auths   map[string]entry  `json:"auths"`
			Headers map[string]string `json:"HttpHeaders"`
		}
		err = json.Unmarshal(content, &file)
		entries = file.Auths
	}
	if err != nil {
		return nil, errInvalid
	}
	var all []Login
	for host, e := range entries {
		all = append(all, Login{Host: host, Username: e.username, Password: e.password})
	}
	slices.SortFunc(all, func(a, b Login) int { return strings.Compare(a.Host, b.Host) })
	return all, nil
}

// entry is one login as written; auth wins over the two fields.
type entry struct {
	username string
	password redact.Secret
}

// UnmarshalJSON refuses what kubelet refuses: fields of another type, and an auth that is not
// base64 of user:password.
func (e *entry) UnmarshalJSON(b []byte) error {
	var fields struct{ Username, Password, Email, Auth string }
	if err := json.Unmarshal(b, &fields); err != nil {
		return errInvalid
	}
	e.username, e.password = fields.Username, redact.New(fields.Password)
	if fields.Auth == "" {
		return nil
	}
	encoding := base64.RawStdEncoding
	if strings.HasSuffix(strings.TrimSpace(fields.Auth), "=") {
		encoding = base64.StdEncoding
	}
	decoded, err := encoding.DecodeString(fields.Auth)
	username, password, ok := strings.Cut(string(decoded), ":")
	if err != nil || !ok {
		return errInvalid
	}
	e.username, e.password = username, redact.New(password)
	return nil
}

// note is for people who find the file. kubelet ignores the field.
const note = "Written by berth, because its config says kubelet.configJSON: true. An edit is saved and overwritten."

// Encode returns a config.json with logins, which hold secrets in clear text: it belongs into a
// file of mode 0600. It is the same for the same logins in any order.
func Encode(logins []Login) ([]byte, error) {
	type auth struct {
		Auth string `json:"auth"`
	}
	file := struct {
		Note  string          `json:"//"`
		Auths map[string]auth `json:"auths"`
	}{note, map[string]auth{}}
	for _, l := range logins {
		file.Auths[l.Host] = auth{base64.StdEncoding.EncodeToString([]byte(l.Username + ":" + l.Password.Reveal()))}
	}
	b, err := json.MarshalIndent(file, "", "  ")
	if err != nil {
		return nil, err
	}
	return append(b, '\n'), nil
}

// Holds reports whether kubelet takes a host[:port] as the name of that host alone: a host in
// brackets without a port would be a pattern.
func Holds(host string) bool { return !strings.HasPrefix(host, "[") || !strings.HasSuffix(host, "]") }
