package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/berth-registry/berth/config/syntax"
)

func TestLoad(t *testing.T) {
	n := newNode(t)
	n.write(t, "config.yaml", head+"registries: [{host: a.corp, username: u, password: "+secretWord+"}]\n"+
		"proxy: {httpsProxy: \"http://u:"+secretWord+"@p\"}\n"+
		"ecr: {credentials: [{static: {accessKeyID: A, secretAccessKey: "+secretWord+", sessionToken: t}}]}\n", 0o640)
	path := filepath.Join(n.dir, "config.yaml")

	cfg, warnings, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := cfg.Registries[0].Password.Reveal(); got != secretWord {
		t.Errorf("password %q", got)
	}
	var got []string
	for _, w := range warnings {
		mustHideSecrets(t, w.String())
		got = append(got, strings.TrimPrefix(n.shown(w.String()), "/etc/berth/config.yaml:"))
	}
	want := []string{
		"3:52: registries[0].password: others on this machine can read /etc/berth/config.yaml (mode 0640) and so this secret; use passwordFile, or chmod 0600",
		"4:21: proxy.httpsProxy: others on this machine can read /etc/berth/config.yaml (mode 0640) and so the password in it; chmod 0600",
		"5:64: ecr.credentials[0].static.secretAccessKey: others on this machine can read /etc/berth/config.yaml (mode 0640) and so this secret; use secretAccessKeyFile, or chmod 0600",
		"5:87: ecr.credentials[0].static.sessionToken: others on this machine can read /etc/berth/config.yaml (mode 0640) and so this secret; use sessionTokenFile, or chmod 0600",
	}
	if !slices.Equal(got, want) {
		t.Errorf("warnings\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}

	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, warnings, err = Load(path); err != nil || len(warnings) != 0 {
		t.Errorf("with mode 0600: %v, %v", warnings, err)
	}
}

// TestLoadRefuses covers paths that hold no readable RegistryConfig.
func TestLoadRefuses(t *testing.T) {
	n := newNode(t)
	path := func(name string) string { return filepath.Join(n.dir, name) }
	n.write(t, "empty", "", 0o600)
	n.write(t, "large", strings.Repeat("#\n", 1<<20), 0o600)
	if err := syscall.Mkfifo(path("fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"missing":   "no such file or directory",
		"secrets":   "is a directory; a regular file is needed",
		"fifo":      "is a named pipe; a regular file is needed",
		"empty":     "is empty; begin with apiVersion: berth/v1alpha1 and kind: RegistryConfig",
		"large":     syntax.TooLarge,
		"empty/x":   "not a directory",
		"a\x00b":    "is not a path: it contains a NUL byte",
		"/dev/null": "is a device; a regular file is needed",
	} {
		file := name
		if !filepath.IsAbs(name) {
			file = path(name)
		}
		cfg, _, err := Load(file)
		if err == nil || cfg != nil || err.Error() != file+": "+want {
			t.Errorf("%s: got %v, want %s", name, err, want)
		}
	}
	_, _, err := Load(path("missing"))
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("errors.Is(%v, fs.ErrNotExist) is false", err)
	}
}

// TestErrorTypes checks that callers can inspect the errors.
func TestErrorTypes(t *testing.T) {
	n := newNode(t)
	_, _, err := n.parse(head + "dockerConfigFile: /etc/berth/secrets/missing\nhealth: {mode: of}\n")
	var all Errors
	if !errors.As(err, &all) || len(all) != 2 {
		t.Fatalf("errors.As: %v", err)
	}
	want := Error{File: "config.yaml", Line: 4, Column: 16, Field: "health.mode", Value: "of",
		Message: `must be withdraw, report or off; did you mean "off"?`}
	if *all[1] != want {
		t.Errorf("got %+v, want %+v", *all[1], want)
	}
	var one *Error
	if !errors.As(err, &one) || one != all[0] || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the first error or its cause cannot be found: %v", err)
	}
}

// A password of several lines keeps every byte but the line break at its end.
func TestPasswordOfSeveralLines(t *testing.T) {
	n := newNode(t)
	long := strings.Repeat("0123456789abcde\n", maxSecretSize/16)
	for content, want := range map[string]string{
		"one":                        "one",
		"one\n":                      "one",
		"one\r\n":                    "one",
		"one\n\n":                    "one", // as before passwords could have several lines
		"a\nb":                       "a\nb",
		"a\nb\n":                     "a\nb",
		"a\r\nb\r\n":                 "a\r\nb",
		"a\nb\n\n":                   "a\nb\n",
		"a\r\nb\r\n\r\n":             "a\r\nb\r\n",
		"\na\n":                      "\na",
		"{\n\t\"key\": \"a:b\"\n}\n": "{\n\t\"key\": \"a:b\"\n}",
		long:                         strings.TrimSuffix(long, "\n"),
	} {
		n.write(t, "secrets/several", content, 0o600)
		cfg, warnings, err := n.parse(head + "registries: [{host: gcr.io, username: _json_key, passwordFile: /etc/berth/secrets/several}]\n")
		if err != nil || len(warnings) > 0 {
			t.Fatalf("%.20q: %v, %v", content, warnings, err)
		}
		if got := cfg.Registries[0].Password.Reveal(); got != want {
			t.Errorf("of %.40q the password is %.40q, want %.40q", content, got, want)
		}
	}
}

// TestFileContents checks that the content of each named file is loaded into its field.
func TestFileContents(t *testing.T) {
	n := newNode(t)
	if err := os.Symlink("registry-com", filepath.Join(n.dir, "secrets/link")); err != nil {
		t.Fatal(err)
	}
	cfg, _, err := n.parse(head + `
registries:
- {host: a.corp, username: u, passwordFile: /etc/berth/secrets/mirror}
- {host: b.corp, username: u, passwordFile: /etc/berth/secrets/link}
- host: c.corp
  tls: {caFile: /etc/berth/pki/ca.crt, certFile: /etc/berth/pki/both.pem, keyFile: /etc/berth/pki/both.pem}
dockerConfigFile: /etc/berth/secrets/pull-secret.json
ecr:
  credentials:
  - static:
      accessKeyIDFile: /etc/berth/secrets/aws-id
      secretAccessKeyFile: /etc/berth/secrets/aws-secret
      sessionTokenFile: /etc/berth/secrets/aws-token
  - static: {sharedCredentialsFile: /etc/berth/secrets/aws-credentials}
`)
	if err != nil {
		t.Fatal(err)
	}
	keys := cfg.ECR.Credentials[0].Static
	for what, pair := range map[string][2]string{
		"password, newlines trimmed": {cfg.Registries[0].Password.Reveal(), secretWord},
		"password behind a link":     {cfg.Registries[1].Password.Reveal(), secretWord},
		"access key id":              {keys.AccessKeyID.Reveal(), "AKIAIOSFODNN7EXAMPLE"},
		"secret access key":          {keys.SecretAccessKey.Reveal(), "aws/" + secretWord},
		"session token":              {keys.SessionToken.Reveal(), "token+" + secretWord},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s: %q, want %q", what, pair[0], pair[1])
		}
	}
	tls := cfg.Registries[2].TLS
	for what, pem := range map[string][]byte{"CA": tls.CA, "certificate": tls.Cert} {
		if !strings.HasPrefix(string(pem), "-----BEGIN CERTIFICATE-----\n") || strings.Contains(string(pem), "PRIVATE") {
			t.Errorf("%s is not certificates alone:\n%s", what, pem)
		}
	}
	if !strings.Contains(tls.Key.Reveal(), "BEGIN PRIVATE KEY") {
		t.Error("the key is missing")
	}
	type login struct{ host, username, password string }
	var logins []login
	for _, l := range cfg.DockerConfig {
		logins = append(logins, login{l.Host, l.Username, l.Password.Reveal()})
	}
	if want := []login{
		{"docker.io", "puller", secretWord}, {"old.corp", "puller", secretWord},
		{"quay.io/team", "puller", secretWord}, {"registry.com:5555", "direct", secretWord},
	}; !slices.Equal(logins, want) {
		t.Errorf("docker logins %v, want %v", logins, want)
	}
	var files []string
	for _, f := range cfg.Files() {
		files = append(files, n.shown(f))
	}
	if want := []string{
		"/etc/berth/pki/both.pem", "/etc/berth/pki/ca.crt", "/etc/berth/secrets/aws-credentials", "/etc/berth/secrets/aws-id",
		"/etc/berth/secrets/aws-secret", "/etc/berth/secrets/aws-token", "/etc/berth/secrets/link", "/etc/berth/secrets/mirror",
		"/etc/berth/secrets/pull-secret.json",
	}; !slices.Equal(files, want) {
		t.Errorf("files %v, want %v", files, want)
	}
}

func TestDefault(t *testing.T) {
	cfg, warnings, err := Parse("config.yaml", []byte(head))
	if err != nil || len(warnings) != 0 {
		t.Fatal(warnings, err)
	}
	if want := Default(); !reflect.DeepEqual(cfg, want) {
		t.Errorf("a document that says nothing is\n%+v\nbut Default is\n%+v", cfg, want)
	}
}
