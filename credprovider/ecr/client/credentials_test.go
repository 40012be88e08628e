package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/berth-registry/berth/credprovider/ecr"
	"github.com/berth-registry/berth/internal/ec2"
	"github.com/berth-registry/berth/internal/proxy"
	"github.com/berth-registry/berth/internal/redact"
	"github.com/berth-registry/berth/test/fakes/fakeaws"
)

// fakeProxy refuses every request, and records the hosts that it was asked for.
func fakeProxy(t *testing.T, seen func(host string)) (proxy.Settings, error) {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen(r.Host)
		w.WriteHeader(http.StatusBadGateway)
	}))
	t.Cleanup(s.Close)
	url := "http://user:proxy-canary@" + strings.TrimPrefix(s.URL, "http://")
	return proxy.Settings{HTTP: redact.New(url), HTTPS: redact.New(url)}, nil
}

func TestMalformedProxyIsNotQuoted(t *testing.T) {
	w := newWorld(t)
	w.env[envECR] = "http://ecr.test"
	res := w.proxied(t, ecr.Options{}, proxy.Settings{HTTP: redact.New("http://user:proxy-canary@%zz")}).
		Fetch(context.Background(), ecr.Request{Registry: registry(t, usEast), First: 1})
	if res.Err == nil || strings.Contains(res.Err.Error(), "canary") || !strings.Contains(res.Err.Error(), "proxy") {
		t.Errorf("%v", res.Err)
	}
}

func keys(id, secret, session string) aws.Credentials {
	return aws.Credentials{AccessKeyID: id, SecretAccessKey: secret, SessionToken: session}
}

func TestStaticKeys(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	shared := write("shared", "# mine\n[default]\naws_access_key_id = AKID\naws_secret_access_key=SECRET=x\n\n[ ci ]\n AWS_ACCESS_KEY_ID = CIID \naws_secret_access_key = CISECRET\naws_session_token = CITOKEN\n[empty]\n")
	write("home/.aws/credentials", "[default]\naws_access_key_id=HOMEID\naws_secret_access_key=HOMESECRET\n")
	for _, c := range []struct {
		name string
		s    ecr.StaticKeys
		env  map[string]string
		want aws.Credentials
		err  string
	}{
		{name: "inline", s: ecr.StaticKeys{AccessKeyID: redact.New("A"), SecretAccessKey: redact.New("B"), SessionToken: redact.New("C")}, want: keys("A", "B", "C")},
		{name: "inline wins over the environment", s: ecr.StaticKeys{AccessKeyID: redact.New("A"), SecretAccessKey: redact.New("B")},
			env: map[string]string{"AWS_ACCESS_KEY_ID": "E", "AWS_SECRET_ACCESS_KEY": "F"}, want: keys("A", "B", "")},
		{name: "files", s: ecr.StaticKeys{AccessKeyIDFile: write("id", "A\n"), SecretAccessKeyFile: write("secret", " B \n"), SessionTokenFile: write("token", "C")}, want: keys("A", "B", "C")},
		{name: "missing file", s: ecr.StaticKeys{AccessKeyIDFile: filepath.Join(dir, "no")}, err: "no such file"},
		{name: "half", s: ecr.StaticKeys{AccessKeyID: redact.New("A")}, err: "secret access key is missing"},
		{name: "other half", s: ecr.StaticKeys{SecretAccessKey: redact.New("canary")}, err: "access key id is missing"},
		{name: "control characters", s: ecr.StaticKeys{AccessKeyID: redact.New("A\nB"), SecretAccessKey: redact.New("canary")}, err: "characters"},
		{name: "shared file", s: ecr.StaticKeys{SharedCredentialsFile: shared}, want: keys("AKID", "SECRET=x", "")},
		{name: "shared file and profile", s: ecr.StaticKeys{SharedCredentialsFile: shared, Profile: "ci"}, want: keys("CIID", "CISECRET", "CITOKEN")},
		{name: "profile of the environment", s: ecr.StaticKeys{SharedCredentialsFile: shared}, env: map[string]string{"AWS_PROFILE": "ci"}, want: keys("CIID", "CISECRET", "CITOKEN")},
		{name: "unknown profile", s: ecr.StaticKeys{SharedCredentialsFile: shared, Profile: "x"}, err: `no profile "x"`},
		{name: "empty profile", s: ecr.StaticKeys{SharedCredentialsFile: shared, Profile: "empty"}, err: "access key id is missing"},
		{name: "environment", env: map[string]string{"AWS_ACCESS_KEY_ID": "E", "AWS_SECRET_ACCESS_KEY": "F", "AWS_SESSION_TOKEN": "G", "HOME": filepath.Join(dir, "home")}, want: keys("E", "F", "G")},
		{name: "shared file of the environment", env: map[string]string{"AWS_SHARED_CREDENTIALS_FILE": shared}, want: keys("AKID", "SECRET=x", "")},
		{name: "home", env: map[string]string{"HOME": filepath.Join(dir, "home")}, want: keys("HOMEID", "HOMESECRET", "")},
		{name: "nothing", env: map[string]string{"HOME": dir}, err: "neither AWS_ACCESS_KEY_ID nor"},
	} {
		t.Run(c.name, func(t *testing.T) {
			getenv := func(n string) string { return c.env[n] }
			var got aws.Credentials
			err := ecr.Source{Static: &c.s}.Identity(getenv).Err
			if err == nil {
				got, err = New(Options{Getenv: getenv}).staticCredentials(t.Context(), ecr.Registry{}, c.s)
			}
			switch {
			case c.err == "" && (err != nil || got != c.want):
				t.Errorf("%+v, %v; want %+v", got, err, c.want)
			case c.err != "" && (!errors.Is(err, ecr.NoKeys) || !strings.Contains(err.Error(), c.err)):
				t.Errorf("%v, want %s", err, c.err)
			case err != nil && strings.Contains(err.Error(), "canary"):
				t.Errorf("a secret shows: %v", err)
			}
		})
	}
}

func TestRoleToAssume(t *testing.T) {
	w := newWorld(t)
	const role = "arn:aws:iam::111122223333:role/puller"
	chain := w.chain(t, ecr.Options{Sources: []ecr.Source{{Static: &ecr.StaticKeys{RoleARN: role}}}})
	res := chain.Fetch(context.Background(), ecr.Request{Registry: registry(t, usEast)})
	if res.Err != nil {
		t.Fatal(res.Err)
	}
	if issued, _ := w.Token(res.Token.Password.Reveal()); issued.KeyID == "" || issued.KeyID != w.Assumed(role) {
		t.Errorf("the token is %+v", issued)
	}
	w.Inject(fakeaws.Fault{Point: fakeaws.STS, Status: 403, Code: "AccessDenied", Message: "not authorized to perform: sts:AssumeRole"})
	res = chain.Fetch(context.Background(), ecr.Request{Registry: registry(t, usEast)})
	if !errors.Is(res.Err, ecr.Denied) || !strings.Contains(res.Err.Error(), "assume the role "+role) {
		t.Errorf("%v", res.Err)
	}
}

func TestNoSourceAtAll(t *testing.T) {
	w := newWorld(t)
	res := w.chain(t, ecr.Options{Sources: []ecr.Source{}}).Fetch(context.Background(), ecr.Request{Registry: registry(t, usEast)})
	if res.Err == nil || !strings.Contains(res.Err.Error(), "no source") {
		t.Errorf("%v", res.Err)
	}
}

// The requests for the instance's role share a connection, and none stays open.
func TestMetadataConnection(t *testing.T) {
	var opened, closed atomic.Int32
	done := make(chan struct{}, 8)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case metadataToken:
			fmt.Fprint(w, "session")
		case metadataRoles:
			fmt.Fprint(w, "node")
		default:
			fmt.Fprint(w, `{"AccessKeyId":"ASIAPROFILE","SecretAccessKey":"secret"}`)
		}
	}))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			opened.Add(1)
		case http.StateClosed:
			closed.Add(1)
			done <- struct{}{}
		}
	}
	s.Start()
	defer s.Close()
	metadata := newMetadata(func(name string) string {
		return map[string]string{ec2.EnvMetadata: s.URL}[name]
	}, t.TempDir(), localClient(true))
	for n := range int32(2) {
		if _, err := metadata.retrieve(t.Context(), false); err != nil {
			t.Fatal(err)
		}
		<-done
		if opened.Load() != n+1 || closed.Load() != n+1 {
			t.Errorf("after %d looks: %d connections opened, %d closed; want %[1]d", n+1, opened.Load(), closed.Load())
		}
	}
}
