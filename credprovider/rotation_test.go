package credprovider

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/berth-registry/berth/credprovider/ecr"
	"github.com/berth-registry/berth/credprovider/ecr/client"
	"github.com/berth-registry/berth/test/fakes/fakeaws"
)

// rotating is a node whose keys are in a shared credentials file that another program rotates, as
// on an SSM or EKS hybrid node.
type rotating struct {
	*node
	file string
	keys int
}

func newRotating(t *testing.T) *rotating {
	t.Helper()
	n := &rotating{node: newNode(t), file: filepath.Join(t.TempDir(), "credentials")}
	env := map[string]string{"AWS_CONFIG_FILE": "/no/such/file", "AWS_SHARED_CREDENTIALS_FILE": n.file}
	for _, name := range []string{"AWS_ENDPOINT_URL_ECR", "AWS_ENDPOINT_URL_STS"} {
		env[name] = n.APIURL()
	}
	env["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = n.MetadataURL()
	getenv := func(name string) string { return env[name] }
	n.Chain = ecr.NewChain(ecr.Options{
		Sources: []ecr.Source{{SDK: &ecr.SDK{Profile: "pull"}}},
		Client:  client.New(client.Options{Getenv: getenv, Now: n.clock}), Getenv: getenv, Now: n.clock,
	})
	n.rotate(t, "111122223333")
	return n
}

// rotate writes a new temporary key of a role of the account, and returns its id.
func (n *rotating) rotate(t *testing.T, account string) string {
	t.Helper()
	n.keys++
	key := fakeaws.Key{
		ID: fmt.Sprint("ASIA", n.keys), Secret: fmt.Sprint("secret-canary-", n.keys), Session: "session-canary",
		ARN: fmt.Sprintf("arn:aws:sts::%s:assumed-role/node/session-%d", account, n.keys),
	}
	n.AddKey(key)
	n.write(t, fmt.Sprintf("[pull]\naws_access_key_id = %s\naws_secret_access_key = %s\naws_session_token = %s\n", key.ID, key.Secret, key.Session))
	return key.ID
}

func (n *rotating) write(t *testing.T, text string) {
	t.Helper()
	if err := os.WriteFile(n.file+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(n.file+".new", n.file); err != nil {
		t.Fatal(err)
	}
}

// A rotation of the keys asks ECR for nothing: the token stays, because it is the same role's.
func TestRotationAsksECRForNothing(t *testing.T) {
	n := newRotating(t)
	first := n.get(t, "ASIA1")
	for i := range 20 {
		n.rotate(t, "111122223333")
		n.advance(30 * time.Minute)
		if got := n.get(t, "ASIA1"); got.Password != first.Password {
			t.Fatalf("after %d rotations there is another token", i+1)
		}
		n.get(t, "ASIA1") // the second process asks neither
	}
	if calls := n.Count(fakeaws.ECR, ""); calls != 1 {
		t.Errorf("%d calls of ECR, want 1", calls)
	}
	if calls := n.Count(fakeaws.CallerIdentity, ""); calls != 21 {
		t.Errorf("%d calls of STS, want one with the token and one for each rotation", calls)
	}
}

// Another account behind the same profile is noticed at the next use, and its token replaces the
// old one, also when ECR refuses it.
func TestAnotherAccountDropsTheToken(t *testing.T) {
	n := newRotating(t)
	n.get(t, "ASIA1")
	other := n.rotate(t, "999988887777")
	n.get(t, other)

	again := n.rotate(t, "111122223333")
	n.Inject(fakeaws.Fault{Point: fakeaws.ECR, KeyID: again, Status: 400, Code: "AccessDeniedException"})
	if _, err := n.Get(t.Context(), registry(t, usEast)); !errors.Is(err, ecr.Denied) {
		t.Errorf("the token of another account serves: %v", err)
	}
	if _, ok := n.Cached(registry(t, usEast)); ok {
		t.Error("the token of another account is still stored")
	}
}

// While STS cannot say whose the new keys are, the token serves, and STS is not asked for each pull.
func TestRotationWithoutSTS(t *testing.T) {
	n := newRotating(t)
	first := n.get(t, "ASIA1")
	n.rotate(t, "111122223333")
	n.Inject(fakeaws.Fault{Point: fakeaws.CallerIdentity, Status: 500})
	before := n.Count(fakeaws.CallerIdentity, "")
	for range 5 {
		if got := n.get(t, "ASIA1"); got.Password != first.Password {
			t.Fatal("another token")
		}
	}
	if asked := n.Count(fakeaws.CallerIdentity, "") - before; asked != 1 {
		t.Errorf("STS was asked %d times for five pulls", asked)
	}
	n.Heal()
	other := n.rotate(t, "999988887777")
	n.get(t, other)
}

// Without STS at the first fetch there is nothing to compare with: a change of the file fetches a
// token from ECR, and the old one serves while that fails.
func TestRotationOfAnUnknownPrincipal(t *testing.T) {
	n := newRotating(t)
	n.Inject(fakeaws.Fault{Point: fakeaws.CallerIdentity, Drop: true})
	n.get(t, "ASIA1")
	second := n.rotate(t, "111122223333")
	n.Inject(fakeaws.Fault{Point: fakeaws.ECR, KeyID: second, Status: 500})
	n.get(t, "ASIA1")
	n.Heal()
	n.Inject(fakeaws.Fault{Point: fakeaws.CallerIdentity, Drop: true})
	n.advance(time.Minute)
	n.get(t, second)
}

// The file is empty while it is rewritten, and the token stays; it goes with a profile that stays
// away.
func TestProfileRemoved(t *testing.T) {
	n := newRotating(t)
	n.get(t, "ASIA1")
	n.write(t, "")
	n.get(t, "ASIA1")
	n.rotate(t, "111122223333")
	n.get(t, "ASIA1")
	n.write(t, "[other]\n")
	n.get(t, "ASIA1")
	n.advance(11 * time.Second)
	if _, err := n.Get(t.Context(), registry(t, usEast)); !errors.Is(err, ecr.NoKeys) {
		t.Errorf("a token without its profile serves: %v", err)
	}
	id := n.rotate(t, "111122223333")
	n.get(t, id)
}

// A stand-in for aws_signing_helper gives other keys each time and fails three times of ten. The
// node has a usable token all the time, and each renewal uses new keys.
func TestHundredRotationsOfAProcess(t *testing.T) {
	n := newNode(t)
	dir := t.TempDir()
	const runs = 300
	for i := range runs + 1 {
		n.AddKey(fakeaws.Key{ID: fmt.Sprint("ASIA", i), Secret: "canary", Session: "canary", ARN: "arn:aws:sts::111122223333:assumed-role/anywhere/x"})
	}
	helper := filepath.Join(dir, "helper")
	script := `#!/bin/sh
n=$(($(cat ` + dir + `/n) + 1)); echo $n >` + dir + `/n
case $n in *[258]) echo canary; exit 1;; esac
printf '{"Version":1,"AccessKeyId":"ASIA%s","SecretAccessKey":"canary","SessionToken":"canary","Expiration":"2100-01-01T00:00:00Z"}' $n
`
	for name, text := range map[string]string{helper: script, filepath.Join(dir, "n"): "0", filepath.Join(dir, "config"): "[profile pull]\ncredential_process = " + helper + "\n"} {
		if err := os.WriteFile(name, []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	env := map[string]string{
		"AWS_CONFIG_FILE": filepath.Join(dir, "config"), "AWS_SHARED_CREDENTIALS_FILE": "/no/such/file",
		"AWS_ENDPOINT_URL_ECR": n.APIURL(), "AWS_ENDPOINT_URL_STS": n.APIURL(), "AWS_EC2_METADATA_SERVICE_ENDPOINT": n.MetadataURL(),
	}
	getenv := func(name string) string { return env[name] }
	n.Chain = ecr.NewChain(ecr.Options{
		Sources: []ecr.Source{{SDK: &ecr.SDK{Profile: "pull"}}},
		Client:  client.New(client.Options{Getenv: getenv, Now: n.clock}), Getenv: getenv, Now: n.clock,
	})
	r := registry(t, usEast)
	if _, err := n.Get(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{}
	for range 100 {
		n.advance(6 * time.Hour)
		// Like the agent: a renewal that fails is tried again, and the stored token serves.
		for {
			if _, ok := n.Cached(r); !ok {
				t.Fatal("no token is usable")
			}
			token, err := n.Renew(t.Context(), r)
			if err == nil {
				issued, _ := n.Token(token.Password.Reveal())
				if used[issued.KeyID] {
					t.Fatalf("%s is used twice", issued.KeyID)
				}
				used[issued.KeyID] = true
				break
			}
			if !errors.Is(err, ecr.Busy) {
				t.Fatal(err)
			}
			n.advance(11 * time.Second)
		}
	}
	if calls := n.Count(fakeaws.ECR, ""); calls != 101 {
		t.Errorf("%d calls of ECR for 101 tokens", calls)
	}
}
