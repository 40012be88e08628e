package ecr

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/berth-registry/berth/internal/redact"
)

// Source is one source of AWS credentials. Exactly one field is set.
type Source struct {
	InstanceProfile *InstanceProfile
	Static          *StaticKeys
	SDK             *SDK
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

// SDK is what AWS's SDKs find by themselves, except for the instance's role. With a profile it is
// that profile of the shared files alone: keys, source_profile, credential_process, role_arn,
// web_identity_token_file. Without one it is the environment: keys, a web identity, AWS_PROFILE or
// the profile "default", the container endpoint of EKS Pod Identity and ECS.
// https://docs.aws.amazon.com/sdkref/latest/guide/standardized-credentials.html
type SDK struct {
	Profile string
	// ConfigFile and CredentialsFile are the shared files; "" is what the environment names, or
	// ~/.aws/config and ~/.aws/credentials.
	ConfigFile, CredentialsFile string
}

// Sources is the default chain: the instance profile, then keys from the
// environment or the shared credentials file.
func Sources() []Source {
	return []Source{{InstanceProfile: &InstanceProfile{}}, {Static: &StaticKeys{}}}
}

// Identity is the name of a source in token files.
type Identity struct {
	Source string // its name in messages: "instance profile"
	// Name is valid in a file name: profile, or a hash. It is "" when the source has no
	// credentials; Err then has the reason.
	Name string
	// Stamp describes the present state of the files that decide whose credentials they are,
	// "" when Name alone says it. When it changes, another identity may stand behind the name.
	Stamp string
	Err   error
}

// profileIdentity names the identity of the instance profile.
const profileIdentity = "profile"

// Identity returns the identity of s without asking AWS and without parsing a shared file.
//
// Long-lived keys are named by the key id and the role to assume. Everything else is named by where
// it is configured, because temporary keys change their id at each rotation.
func (s Source) Identity(getenv func(string) string) Identity {
	id := Identity{Source: s.title()}
	switch {
	case s.SDK != nil:
		id.Name, id.Stamp, id.Err = s.SDK.identity(getenv)
	case s.Static != nil:
		id.Name, id.Stamp, id.Err = s.Static.identity(getenv)
	default:
		id.Name = profileIdentity
	}
	return id
}

// title is the name of the source in messages.
func (s Source) title() string {
	switch {
	case s.SDK != nil && s.SDK.Profile != "":
		return "sdk profile " + s.SDK.Profile
	case s.SDK != nil:
		return "sdk"
	case s.Static == nil:
		return "instance profile"
	case s.Static.RoleARN != "":
		return "static keys with a role"
	}
	return "static keys"
}

// named returns a hash of what names an identity.
func named(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:8])
}

const opKeys = "find static keys"

func (s StaticKeys) identity(getenv func(string) string) (name, stamp string, err error) {
	k, err := s.Keys(getenv)
	if err != nil {
		return "", "", err
	}
	if k.Shared == nil {
		return named(k.ID, s.RoleARN), "", nil
	}
	if _, err := os.Stat(k.Shared.CredentialsFile); err != nil {
		if s.SharedCredentialsFile == "" && errors.Is(err, os.ErrNotExist) {
			err = fmt.Errorf("neither AWS_ACCESS_KEY_ID nor %s is there", k.Shared.CredentialsFile)
		}
		return "", "", &Error{Outcome: NoKeys, Op: opKeys, Err: err}
	}
	return named("static", k.Shared.CredentialsFile, k.Shared.Profile, s.RoleARN), stampOf(k.Shared.CredentialsFile), nil
}

// Keys are static keys, or the place where they are.
type Keys struct {
	ID              string
	Secret, Session redact.Secret
	// Shared is the profile of a shared credentials file that has the keys; the other fields are
	// empty then.
	Shared *SDK
}

// Keys returns the keys. The error is always [NoKeys]. It does not read a shared file.
func (s StaticKeys) Keys(getenv func(string) string) (Keys, error) {
	var k Keys
	switch {
	case s.given():
		inline, err := s.inline()
		if err != nil {
			return Keys{}, &Error{Outcome: NoKeys, Op: opKeys, Err: err}
		}
		k = inline
	case s.SharedCredentialsFile == "" && (getenv("AWS_ACCESS_KEY_ID") != "" || getenv("AWS_SECRET_ACCESS_KEY") != ""):
		return EnvironmentKeys(opKeys, getenv)
	default:
		file := cmp.Or(s.SharedCredentialsFile, sharedFile(getenv, "AWS_SHARED_CREDENTIALS_FILE", "credentials"))
		return Keys{Shared: &SDK{Profile: cmp.Or(s.Profile, getenv("AWS_PROFILE"), "default"), CredentialsFile: file}}, nil
	}
	return k, k.check(opKeys)
}

// EnvironmentKeys returns the keys of the environment. The error is always [NoKeys].
func EnvironmentKeys(op string, getenv func(string) string) (Keys, error) {
	return NewKeys(op, getenv("AWS_ACCESS_KEY_ID"), redact.New(getenv("AWS_SECRET_ACCESS_KEY")), redact.New(getenv("AWS_SESSION_TOKEN")))
}

// NewKeys returns keys. The error, for incomplete keys and for such as cannot be sent, is [NoKeys]
// and does not quote them.
func NewKeys(op, id string, secret, session redact.Secret) (Keys, error) {
	k := Keys{ID: id, Secret: secret, Session: session}
	return k, k.check(op)
}

func (k Keys) check(op string) error {
	fault := ""
	switch {
	case k.ID == "":
		fault = "the access key id is missing"
	case k.Secret.IsZero():
		fault = "the secret access key is missing"
	case !Printable(k.ID), !Printable(k.Session.Reveal()):
		// They become request headers.
		fault = "the keys hold characters that no key has"
	default:
		return nil
	}
	return &Error{Outcome: NoKeys, Op: op, Err: errors.New(fault)}
}

func (s StaticKeys) given() bool {
	return !s.AccessKeyID.IsZero() || !s.SecretAccessKey.IsZero() || s.AccessKeyIDFile != "" || s.SecretAccessKeyFile != ""
}

func (s StaticKeys) inline() (Keys, error) {
	id, k := s.AccessKeyID, Keys{Secret: s.SecretAccessKey, Session: s.SessionToken}
	for _, f := range []struct {
		path string
		into *redact.Secret
	}{{s.AccessKeyIDFile, &id}, {s.SecretAccessKeyFile, &k.Secret}, {s.SessionTokenFile, &k.Session}} {
		if f.path == "" {
			continue
		}
		b, err := ReadFile(f.path)
		if err != nil {
			return Keys{}, err
		}
		*f.into = redact.New(string(bytes.TrimSpace(b)))
	}
	k.ID = id.Reveal()
	return k, nil
}

// The variables of the environment that choose an identity:
// https://docs.aws.amazon.com/sdkref/latest/guide/environment-variables.html
const (
	EnvRole          = "AWS_ROLE_ARN"
	EnvTokenFile     = "AWS_WEB_IDENTITY_TOKEN_FILE"
	EnvContainerPath = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"
	EnvContainerURL  = "AWS_CONTAINER_CREDENTIALS_FULL_URI"
)

const opSDK = "find credentials of the SDK"

// Files returns s with its files and profile filled in from the environment.
func (s SDK) Files(getenv func(string) string) SDK {
	return SDK{
		Profile:         cmp.Or(s.Profile, getenv("AWS_PROFILE"), "default"),
		ConfigFile:      cmp.Or(s.ConfigFile, sharedFile(getenv, "AWS_CONFIG_FILE", "config")),
		CredentialsFile: cmp.Or(s.CredentialsFile, sharedFile(getenv, "AWS_SHARED_CREDENTIALS_FILE", "credentials")),
	}
}

// Environment returns the part of the environment that wins over the shared files for the source
// without a profile: "keys", "web identity", or "" when neither is set.
func (s SDK) Environment(getenv func(string) string) string {
	switch {
	case s.Profile != "":
		return ""
	case getenv("AWS_ACCESS_KEY_ID") != "":
		return "keys"
	case getenv(EnvTokenFile) != "":
		return "web identity"
	}
	return ""
}

func (s SDK) identity(getenv func(string) string) (name, stamp string, err error) {
	switch s.Environment(getenv) {
	case "keys":
		k, err := EnvironmentKeys(opSDK, getenv)
		if err != nil {
			return "", "", err
		}
		if k.Session.IsZero() {
			return named(k.ID, ""), "", nil
		}
		return named("sdk", "environment"), named(k.ID), nil
	case "web identity":
		// The token file is rotated; with it only this role can be assumed.
		return named("sdk", "web identity", getenv(EnvTokenFile), getenv(EnvRole)), "", nil
	}
	at := s.Files(getenv)
	config, credentials := stampOf(at.ConfigFile), stampOf(at.CredentialsFile)
	container := ""
	if s.Profile == "" {
		container = getenv(EnvContainerPath) + getenv(EnvContainerURL)
	}
	if config+credentials+container == "" {
		fault := fmt.Errorf("neither %s nor %s is there", at.ConfigFile, at.CredentialsFile)
		if s.Profile == "" {
			fault = fmt.Errorf("the environment names no credentials, and neither %s nor %s is there", at.ConfigFile, at.CredentialsFile)
		}
		return "", "", &Error{Outcome: NoKeys, Op: opSDK, Err: fault}
	}
	return named("sdk", at.Profile, at.ConfigFile, at.CredentialsFile, container), config + credentials, nil
}

// sharedFile returns the path of a shared file of the SDKs. kubelet's environment often has no HOME.
func sharedFile(getenv func(string) string, variable, name string) string {
	if f := getenv(variable); f != "" {
		return f
	}
	home := getenv("HOME")
	if home == "" && os.Geteuid() == 0 {
		home = "/root"
	}
	return filepath.Join(home, ".aws", name)
}

// stampOf describes the state of a file by what stat(2) says, "" for one that cannot be seen. Each
// write or replacement of the file changes it.
func stampOf(path string) string {
	info, err := os.Stat(path)
	if err != nil {
		return ""
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return ""
	}
	return named(fmt.Sprint(st.Dev, st.Ino, st.Size, st.Mtim, st.Ctim))
}

// maxKeyFile is the size of the largest file that holds keys, in bytes.
const maxKeyFile = 1 << 20

// ReadFile reads a small file of keys or of a token, at most 1 MiB. The error names it.
func ReadFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if len(b) > maxKeyFile {
		return nil, fmt.Errorf("read %s: it is larger than %d bytes", path, maxKeyFile)
	}
	return b, nil
}
