package ecr

import (
	"os"
	"strings"
	"testing"

	"github.com/berth-registry/berth/internal/redact"
)

// Without HOME, as in a systemd unit, root's home is /root.
func TestSharedFile(t *testing.T) {
	unset := ".aws/credentials"
	if os.Geteuid() == 0 {
		unset = "/root/.aws/credentials"
	}
	for want, env := range map[string]map[string]string{
		"/x/keys":                  {"AWS_SHARED_CREDENTIALS_FILE": "/x/keys", "HOME": "/home/a"},
		"/home/a/.aws/credentials": {"HOME": "/home/a"},
		unset:                      {},
	} {
		if got := sharedFile(func(name string) string { return env[name] }, "AWS_SHARED_CREDENTIALS_FILE", "credentials"); got != want {
			t.Errorf("%v: %s, want %s", env, got, want)
		}
	}
}

func TestIdentity(t *testing.T) {
	none := func(string) string { return "" }
	id := func(key, secret, role string) string {
		got := Source{Static: &StaticKeys{AccessKeyID: redact.New(key), SecretAccessKey: redact.New(secret), RoleARN: role}}.Identity(none)
		if got.Err != nil || got.Stamp != "" {
			t.Fatalf("%+v", got)
		}
		return got.Name
	}
	a := id("A", "x", "")
	if a != id("A", "y", "") {
		t.Error("the secret is part of the identity")
	}
	if a == id("B", "x", "") || a == id("A", "x", "arn:aws:iam::1:role/r") {
		t.Error("key id and role are no part of the identity")
	}
	if len(a) != 16 || strings.Trim(a, "0123456789abcdef") != "" {
		t.Errorf("%q is no good file name", a)
	}
}
