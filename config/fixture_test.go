package config

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	yaml "go.yaml.in/yaml/v3"
)

// secretWord is part of every secret in the fixtures, so that a test can find a leaked one.
const secretWord = "hunter2"

const head = "apiVersion: berth/v1alpha1\nkind: RegistryConfig\n"

// node is a directory that stands for /etc/berth in examples and fixtures.
type node struct{ dir string }

func newNode(t testing.TB) node {
	t.Helper()
	n := node{t.TempDir()}
	n.write(t, "secrets/registry-com", secretWord+"\n", 0o600)
	n.write(t, "secrets/mirror", secretWord+"\r\n\n", 0o600)
	n.write(t, "secrets/wide", secretWord, 0o644)
	n.write(t, "secrets/aws-id", "AKIAIOSFODNN7EXAMPLE\n", 0o600)
	n.write(t, "secrets/aws-secret", "aws/"+secretWord+"\n", 0o600)
	n.write(t, "secrets/aws-token", "token+"+secretWord, 0o600)
	n.write(t, "secrets/aws-credentials", "[default]\naws_secret_access_key = "+secretWord+"\n", 0o600)
	n.write(t, "secrets/empty", "\n\n", 0o600)
	n.write(t, "secrets/nothing", "", 0o600)
	n.write(t, "secrets/two-lines", "user\n"+secretWord+"\n", 0o600)
	n.write(t, "secrets/latin-1", "p\xe9"+secretWord, 0o600)
	n.write(t, "secrets/replaced", "p\ufffd"+secretWord, 0o600)
	n.write(t, "secrets/huge", strings.Repeat(secretWord, 10_000), 0o600)
	n.write(t, "secrets/largest", strings.Repeat("x", maxSecretSize), 0o600)
	n.dockerConfigs(t)

	key, cert := newCertificate(t)
	other, _ := newCertificate(t)
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})
	n.write(t, "pki/ca.crt", "# our CA\n"+string(certPEM), 0o644)
	n.write(t, "pki/client.crt", string(certPEM), 0o644)
	n.write(t, "pki/client.key", string(keyPEM), 0o600)
	n.write(t, "pki/both.pem", string(keyPEM)+string(certPEM), 0o600)
	n.write(t, "pki/other.key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: other})), 0o600)
	n.write(t, "pki/wide.key", string(keyPEM), 0o644)
	n.write(t, "pki/encrypted.key", string(pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte(secretWord)})), 0o600)
	n.write(t, "pki/damaged.key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte(secretWord)})), 0o600)
	n.write(t, "pki/damaged.crt", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")})), 0o644)
	n.write(t, "pki/half-damaged.crt", string(certPEM)+string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")})), 0o644)
	n.write(t, "pki/not.pem", secretWord, 0o600)
	return n
}

func (n node) dockerConfigs(t testing.TB) {
	auth := base64.StdEncoding.EncodeToString([]byte("puller:" + secretWord))
	docker := func(name, auths string) { n.write(t, "secrets/"+name, `{"auths": `+auths+`}`, 0o600) }
	docker("pull-secret.json", fmt.Sprintf(`{
		"https://index.docker.io/v1/": {"auth": %q, "email": "a@b.c"},
		"https://Registry.com:5555/v2/": {"username": "direct", "password": %q},
		"quay.io/team": {"auth": %q},
		"http://old.corp/v1/": {"auth": %q}
	}`, auth, secretWord, strings.TrimRight(auth, "="), auth))
	docker("unused.json", fmt.Sprintf(`{
		"*.corp": {"auth": %q},
		"docker.io": {"auth": %q},
		"https://index.docker.io/v1/": {"auth": %q},
		"https://index.docker.io/v1/access-token": {"auth": %q},
		"helper.corp": {},
		"index.docker.io:443": {"auth": %q},
		"token.corp": {"identitytoken": %q}
	}`, auth, auth, auth, auth, auth, secretWord))
	docker("bad-entries.json", fmt.Sprintf(`{
		"a.corp": {"auth": "%%%%%s"},
		"b.corp": {"auth": %q},
		"c.corp": {"username": "u"},
		"d corp": {"auth": %q},
		"u:%s@e.corp": {"auth": %q},
		"f.corp": {"username": "u:v", "password": %q}
	}`, secretWord, base64.StdEncoding.EncodeToString([]byte(secretWord)), auth, secretWord, auth, secretWord))
	n.write(t, "secrets/latin-1.json", "{\"auths\": {\n  \"a.corp\": {\"username\": \"u\", \"password\": \"p\xe9"+secretWord+"\"}}}", 0o600)
	docker("latin-1-auth.json", fmt.Sprintf(`{
		"a.corp": {"auth": %q},
		"b.corp": {"username": "u", "password": "\ud800%s"},
		"c.corp": {"username": "ü", "password": "é%s"}
	}`, base64.StdEncoding.EncodeToString([]byte("u:p\xe9"+secretWord)), secretWord, secretWord))
	docker("spellings.json", fmt.Sprintf(`{"a.corp": {"auth": %q}, "a.corp:443": {"auth": %q}, "a.corp:5000": {"auth": %q}}`, auth, auth, auth))
	key := base64.StdEncoding.EncodeToString
	docker("tokens.json", fmt.Sprintf(`{
		"azure.corp": {"auth": %[2]q, "identitytoken": %[1]q},
		"azure.corp:444": {"username": "00000000-0000-0000-0000-000000000000", "password": "", "identitytoken": %[1]q},
		"bearer.corp": {"registrytoken": %[1]q},
		"bearer.corp:444": {"registrytoken": "a b%[1]s"},
		"both.corp": {"auth": %[3]q, "identitytoken": %[1]q},
		"both.corp:444": {"identitytoken": %[1]q, "registrytoken": %[1]q},
		"helper.corp": {"username": "<token>", "password": %[1]q},
		"identity.corp": {"auth": %[4]q, "identitytoken": %[1]q},
		"other.corp": {"auth": %[3]q, "username": "another", "password": "else"},
		"same.corp": {"auth": %[3]q, "username": "puller", "password": %[1]q}
	}`, secretWord, key([]byte("00000000-0000-0000-0000-000000000000:")), auth, key([]byte("puller:"))))
	n.write(t, "secrets/bad-type.json", `{"auths": {"a.corp": {"auth": 17}}}`, 0o600)
	n.write(t, "secrets/bad-json.json", "{\"auths\": {\n  \"a.corp\": "+secretWord+"\n}}", 0o600)
	n.write(t, "secrets/no-auths.json", `{"credsStore": "`+secretWord+`"}`, 0o600)
}

func (n node) write(t testing.TB, name, content string, mode os.FileMode) {
	t.Helper()
	path := filepath.Join(n.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

func newCertificate(t testing.TB) (key, cert []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "berth test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	if cert, err = x509.CreateCertificate(rand.Reader, template, template, private.Public(), private); err != nil {
		t.Fatal(err)
	}
	if key, err = x509.MarshalPKCS8PrivateKey(private); err != nil {
		t.Fatal(err)
	}
	return key, cert
}

// parse reads a document after replacing /etc/berth/ by the node's directory.
func (n node) parse(document string) (*Config, []Warning, error) {
	return Parse("config.yaml", []byte(strings.ReplaceAll(document, "/etc/berth/", n.dir+"/")))
}

// shown returns text with the paths of a real node.
func (n node) shown(text string) string { return strings.ReplaceAll(text, n.dir+"/", "/etc/berth/") }

// mustHideSecrets fails if text holds a secret of the fixtures.
func mustHideSecrets(t *testing.T, text string) {
	t.Helper()
	for _, secret := range []string{secretWord, base64.StdEncoding.EncodeToString([]byte(secretWord))} {
		if strings.Contains(text, strings.TrimRight(secret, "=")) {
			t.Errorf("a secret is shown:\n%s", text)
		}
	}
}

// mustHideConfig fails if a printed Config holds a secret.
func mustHideConfig(t *testing.T, cfg *Config) {
	t.Helper()
	asYAML, err := yaml.Marshal(cfg)
	if err != nil {
		t.Fatal(err)
	}
	asJSON, err := json.Marshal(cfg)
	if err != nil {
		t.Fatal(err)
	}
	mustHideSecrets(t, fmt.Sprintf("%v %+v %#v %s %s", cfg, cfg, cfg, asYAML, asJSON))
}
