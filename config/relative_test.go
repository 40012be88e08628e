package config

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-registry/berth/hostsconf"
)

// TestRelativePaths checks that relative paths start at the config's directory, whatever the
// working directory is. A path that is valid only from the working directory still loads.
func TestRelativePaths(t *testing.T) {
	n := newNode(t)
	n.write(t, "config.yaml", head+`
registries:
- {host: a.corp, username: u, passwordFile: secrets/mirror}
- {host: b.corp, tls: {caFile: ./pki/ca.crt, certFile: pki/client.crt, keyFile: pki/../pki/client.key}}
dockerConfigFile: secrets/pull-secret.json
ecr:
  credentials:
  - static: {accessKeyIDFile: secrets/aws-id, secretAccessKeyFile: secrets/aws-secret, sessionTokenFile: secrets/aws-token}
  - static: {sharedCredentialsFile: secrets/aws-credentials}
`, 0o600)
	elsewhere := t.TempDir()
	t.Chdir(elsewhere)
	file, err := Read(filepath.Join(n.dir, "config.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	cfg, warnings, err := file.Parse()
	if err != nil || len(warnings) != 0 {
		t.Fatal(err, warnings)
	}
	if cfg.Registries[0].Password.Reveal() != secretWord || cfg.Registries[1].TLS.CA == nil || len(cfg.DockerConfig) != 4 {
		t.Errorf("not everything was read: %+v", cfg)
	}
	for _, name := range cfg.Files() {
		if !strings.HasPrefix(name, n.dir+"/") {
			t.Errorf("%s is watched, which is not below %s", name, n.dir)
		}
	}
	// A kept config has the same meaning, whatever files exist now.
	kept := File{Path: "/var/lib/berth/last-good.json", Dir: file.Dir, Text: file.Text, Contents: file.Contents}
	again, _, err := kept.Parse()
	if err != nil || strings.Join(again.Files(), " ") != strings.Join(cfg.Files(), " ") {
		t.Errorf("kept: %v, files %v", err, again.Files())
	}

	text := head + "registries: [{host: a.corp, username: u, passwordFile: here}]\n"
	n.write(t, "config.yaml", text, 0o600)
	load := func() ([]Warning, error) {
		_, warnings, err := Load(filepath.Join(n.dir, "config.yaml"))
		return warnings, err
	}
	if _, err := load(); err == nil || !strings.Contains(err.Error(), relativeStart) {
		t.Errorf("missing: %v", err)
	}
	if err := os.WriteFile("here", []byte(secretWord), 0o600); err != nil {
		t.Fatal(err)
	}
	if warnings, err := load(); err != nil || len(warnings) != 1 || !strings.Contains(warnings[0].String(), "working directory") {
		t.Errorf("in the working directory: %v, %v", warnings, err)
	}
	n.write(t, "here", secretWord, 0o600)
	if warnings, err := load(); err != nil || len(warnings) != 0 {
		t.Errorf("in both: %v, %v", warnings, err)
	}
}

// TestSeveralLines checks that a password of several lines, such as a service account's JSON key,
// reaches the header unchanged except for line breaks at its end.
func TestSeveralLines(t *testing.T) {
	const key = "{\n\t\"type\": \"service_account\",\r\n  \"private_key\": \"-----BEGIN-----\\n\"\n}"
	n := newNode(t)
	n.write(t, "key.json", key+"\n", 0o600)
	auth := base64.StdEncoding.EncodeToString([]byte("_json_key:" + key))
	n.write(t, "pull.json", `{"auths": {"eu.gcr.io": {"auth": "`+auth+`"}}}`, 0o600)
	cfg, warnings, err := n.parse(head + "dockerConfigFile: /etc/berth/pull.json\n" +
		"registries: [{host: gcr.io, username: _json_key, passwordFile: /etc/berth/key.json}]\n")
	if err != nil || len(warnings) != 0 || len(cfg.DockerConfig) != 1 {
		t.Fatal(err, warnings)
	}
	for _, password := range []string{cfg.Registries[0].Password.Reveal(), cfg.DockerConfig[0].Password.Reveal()} {
		if password != key {
			t.Errorf("the password is %q", password)
		}
	}
	header := hostsconf.BasicAuthorization("_json_key", cfg.Registries[0].Password).Reveal()
	if header != "Basic "+auth {
		t.Errorf("the header is %s", header)
	}
	n.write(t, "key.json", "a\x00b", 0o600)
	if _, _, err := n.parse(head + "registries: [{host: gcr.io, username: u, passwordFile: /etc/berth/key.json}]\n"); err == nil {
		t.Error("a NUL byte is taken")
	}
}
