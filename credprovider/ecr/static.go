package ecr

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/berth-registry/berth/internal/redact"
)

// Source is one source of AWS credentials. Exactly one field is set.
type Source struct {
	InstanceProfile *InstanceProfile
	Static          *StaticKeys
}

// InstanceProfile is the role of the EC2 instance.
type InstanceProfile struct{}

// StaticKeys are keys that are inline, in files or in a shared credentials file. When nothing but
// Profile and RoleARN is set, they are taken from the environment (AWS_ACCESS_KEY_ID …), then from
// the shared credentials file that the environment names, or ~/.aws/credentials. Files are read at
// each use, so that a rotated key is used at once.
type StaticKeys struct {
	AccessKeyID, SecretAccessKey, SessionToken             redact.Secret
	AccessKeyIDFile, SecretAccessKeyFile, SessionTokenFile string
	SharedCredentialsFile                                  string
	Profile                                                string // of the shared file; "" is AWS_PROFILE or default
	RoleARN                                                string // assumed with the keys, unless ""
}

// Sources is the default chain: the instance profile, then keys from the
// environment or the shared credentials file.
func Sources() []Source {
	return []Source{{InstanceProfile: &InstanceProfile{}}, {Static: &StaticKeys{}}}
}

// profileIdentity names the identity of the instance profile.
const profileIdentity = "profile"

// identity returns the part of a file name that names the source, without a secret. Other keys are
// another identity.
func (s Source) identity(getenv func(string) string) (string, error) {
	if s.Static == nil {
		return profileIdentity, nil
	}
	k, err := s.Static.keys(getenv)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(k.id + "\x00" + s.Static.RoleARN))
	return hex.EncodeToString(sum[:8]), nil
}

// title is the name of the source in messages.
func (s Source) title() string {
	switch {
	case s.Static == nil:
		return "instance profile"
	case s.Static.RoleARN != "":
		return "static keys with a role"
	}
	return "static keys"
}

const opKeys = "find static keys"

// keys reads the keys. The error is always [NoKeys].
func (s StaticKeys) keys(getenv func(string) string) (keys, error) {
	var k keys
	var err error
	switch {
	case s.given():
		k, err = s.inline()
	case s.SharedCredentialsFile != "":
		k, err = sharedKeys(s.SharedCredentialsFile, s.profile(getenv))
	case getenv("AWS_ACCESS_KEY_ID") != "" || getenv("AWS_SECRET_ACCESS_KEY") != "":
		k = keys{getenv("AWS_ACCESS_KEY_ID"), getenv("AWS_SECRET_ACCESS_KEY"), getenv("AWS_SESSION_TOKEN")}
	default:
		k, err = sharedKeys(sharedFile(getenv), s.profile(getenv))
		if errors.Is(err, os.ErrNotExist) {
			err = fmt.Errorf("neither AWS_ACCESS_KEY_ID nor %s is there", sharedFile(getenv))
		}
	}
	switch {
	case err != nil:
		return keys{}, &Error{Outcome: NoKeys, Op: opKeys, Err: err}
	case k.id == "":
		return keys{}, &Error{Outcome: NoKeys, Op: opKeys, Err: errors.New("the access key id is missing")}
	case k.secret == "":
		return keys{}, &Error{Outcome: NoKeys, Op: opKeys, Err: errors.New("the secret access key is missing")}
	case !Printable(k.id), !Printable(k.session):
		// They become request headers. The error must not quote them.
		return keys{}, &Error{Outcome: NoKeys, Op: opKeys, Err: errors.New("the keys hold characters that no key has")}
	}
	return k, nil
}

func (s StaticKeys) given() bool {
	return !s.AccessKeyID.IsZero() || !s.SecretAccessKey.IsZero() || s.AccessKeyIDFile != "" || s.SecretAccessKeyFile != ""
}

func (s StaticKeys) profile(getenv func(string) string) string {
	for _, p := range []string{s.Profile, getenv("AWS_PROFILE")} {
		if p != "" {
			return p
		}
	}
	return "default"
}

func (s StaticKeys) inline() (keys, error) {
	k := keys{id: s.AccessKeyID.Reveal(), secret: s.SecretAccessKey.Reveal(), session: s.SessionToken.Reveal()}
	for _, f := range []struct {
		path string
		into *string
	}{{s.AccessKeyIDFile, &k.id}, {s.SecretAccessKeyFile, &k.secret}, {s.SessionTokenFile, &k.session}} {
		if f.path == "" {
			continue
		}
		b, err := readFile(f.path)
		if err != nil {
			return keys{}, err
		}
		*f.into = strings.TrimSpace(string(b))
	}
	return k, nil
}

// sharedFile returns the path of the shared credentials file. kubelet's environment often has no
// HOME.
func sharedFile(getenv func(string) string) string {
	if f := getenv("AWS_SHARED_CREDENTIALS_FILE"); f != "" {
		return f
	}
	home := getenv("HOME")
	if home == "" && os.Geteuid() == 0 {
		home = "/root"
	}
	return filepath.Join(home, ".aws", "credentials")
}

// sharedKeys reads one profile of a shared credentials file:
// https://docs.aws.amazon.com/sdkref/latest/guide/file-format.html
func sharedKeys(path, profile string) (keys, error) {
	b, err := readFile(path)
	if err != nil {
		return keys{}, err
	}
	k, ok := parseShared(b, profile)
	if !ok {
		return keys{}, fmt.Errorf("%s has no profile %q", path, profile)
	}
	return k, nil
}

func parseShared(b []byte, profile string) (k keys, found bool) {
	inside := false
	lines := bufio.NewScanner(bytes.NewReader(b))
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' || line[0] == ';' {
			continue
		}
		if line[0] == '[' {
			name, _, _ := strings.Cut(line[1:], "]")
			inside = strings.TrimSpace(name) == profile
			found = found || inside
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		if !inside || !ok {
			continue
		}
		value = strings.TrimSpace(value)
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "aws_access_key_id":
			k.id = value
		case "aws_secret_access_key":
			k.secret = value
		case "aws_session_token":
			k.session = value
		}
	}
	return k, found
}

// maxKeyFile is the size of the largest file that holds keys, in bytes.
const maxKeyFile = 1 << 20

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := readBounded(f, maxKeyFile)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return b, nil
}
