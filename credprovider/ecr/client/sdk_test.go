package client

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/berth-registry/berth/credprovider/ecr"
	"github.com/berth-registry/berth/test/fakes/fakeaws"
)

// home writes the shared files of w's home directory.
func (w *world) home(t *testing.T, config, credentials string) {
	t.Helper()
	dir := filepath.Join(w.env["HOME"], ".aws")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"config": config, "credentials": credentials} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"} {
		delete(w.env, name)
	}
}

// fetch gets a token from one SDK source, and returns the key that the request was signed with.
func (w *world) fetch(t *testing.T, s ecr.SDK) (keyID string, err error) {
	t.Helper()
	chain := w.chain(t, ecr.Options{Sources: []ecr.Source{{SDK: &s}}})
	res := chain.Fetch(t.Context(), ecr.Request{Registry: registry(t, usEast), Hasty: true})
	if res.Err != nil {
		noCanary(t, res.Err.Error(), "canary")
		return "", res.Err
	}
	issued, ok := w.Token(res.Token.Password.Reveal())
	if !ok {
		t.Fatal("the token is not one of the fake's")
	}
	return issued.KeyID, nil
}

const (
	pullerRole = "arn:aws:iam::111122223333:role/puller"
	otherRole  = "arn:aws:iam::111122223333:role/other"
)

// script is a credential_process that prints what AWS documents.
func script(k fakeaws.Key) string {
	return fmt.Sprintf(`printf '{"Version":1,"AccessKeyId":"%s","SecretAccessKey":"%s","SessionToken":"%s","Expiration":"2100-01-01T00:00:00Z"}'`, k.ID, k.Secret, k.Session)
}

func TestSDKSources(t *testing.T) {
	processKey := fakeaws.Key{ID: "ASIAPROCESS", Secret: "process-canary", Session: "process-session-canary"}
	containerKey := fakeaws.Key{ID: "ASIACONTAINER", Secret: "container-canary", Session: "container-session-canary"}
	fileKey := fakeaws.Key{ID: "AKIAFILE", Secret: "file-canary"}
	const keys = "aws_access_key_id = AKIAFILE\naws_secret_access_key = file-canary\n"
	process := "credential_process = " + script(processKey) + "\n"
	for _, c := range []struct {
		name                string
		sdk                 ecr.SDK
		config, credentials string
		env                 map[string]string
		want                string // the key, or the role whose key it is
	}{
		{name: "keys of the environment", env: map[string]string{"AWS_ACCESS_KEY_ID": staticKey.ID, "AWS_SECRET_ACCESS_KEY": staticKey.Secret}, want: staticKey.ID},
		{name: "web identity of the environment", env: map[string]string{ecr.EnvTokenFile: "TOKEN", ecr.EnvRole: pullerRole}, want: pullerRole},
		{name: "container of the environment", env: map[string]string{ecr.EnvContainerURL: "CONTAINER", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "TOKEN"}, want: containerKey.ID},
		{name: "container, token inline", env: map[string]string{ecr.EnvContainerURL: "CONTAINER", "AWS_CONTAINER_AUTHORIZATION_TOKEN": "token-canary"}, want: containerKey.ID},
		{name: "AWS_PROFILE", env: map[string]string{"AWS_PROFILE": "pull"}, config: "[profile pull]\n" + process, want: processKey.ID},
		{name: "default profile", credentials: "[default]\n" + keys, want: fileKey.ID},
		{name: "default profile without credentials, then the container", config: "[default]\nregion = eu-west-1\n",
			env: map[string]string{ecr.EnvContainerURL: "CONTAINER", "AWS_CONTAINER_AUTHORIZATION_TOKEN": "token-canary"}, want: containerKey.ID},
		{name: "a profile's keys", sdk: ecr.SDK{Profile: "pull"}, credentials: "[pull]\n" + keys, want: fileKey.ID},
		{name: "a profile wins over the environment", sdk: ecr.SDK{Profile: "pull"}, credentials: "[pull]\n" + keys,
			env: map[string]string{"AWS_ACCESS_KEY_ID": staticKey.ID, "AWS_SECRET_ACCESS_KEY": staticKey.Secret, ecr.EnvTokenFile: "TOKEN", ecr.EnvRole: pullerRole}, want: fileKey.ID},
		{name: "credential_process", sdk: ecr.SDK{Profile: "pull"}, config: "[profile pull]\n" + process, want: processKey.ID},
		{name: "credential_process and role_arn", sdk: ecr.SDK{Profile: "pull"}, config: "[profile pull]\nrole_arn = " + pullerRole + "\n" + process, want: pullerRole},
		{name: "source_profile", sdk: ecr.SDK{Profile: "pull"}, config: "[profile pull]\nrole_arn = " + pullerRole + "\nsource_profile = base\n", credentials: "[base]\n" + keys, want: pullerRole},
		{name: "source_profile of a source_profile", sdk: ecr.SDK{Profile: "pull"},
			config:      "[profile pull]\nrole_arn = " + pullerRole + "\nsource_profile = mid\n[profile mid]\nrole_arn = " + otherRole + "\nsource_profile = base\n",
			credentials: "[base]\n" + keys, want: pullerRole},
		{name: "web_identity_token_file", sdk: ecr.SDK{Profile: "pull"}, config: "[profile pull]\nrole_arn = " + pullerRole + "\nweb_identity_token_file = TOKEN\n", want: pullerRole},
		{name: "credential_source = Environment", sdk: ecr.SDK{Profile: "pull"}, config: "[profile pull]\nrole_arn = " + pullerRole + "\ncredential_source = Environment\n",
			env: map[string]string{"AWS_ACCESS_KEY_ID": staticKey.ID, "AWS_SECRET_ACCESS_KEY": staticKey.Secret}, want: pullerRole},
		{name: "credential_source = EcsContainer", sdk: ecr.SDK{Profile: "pull"}, config: "[profile pull]\nrole_arn = " + pullerRole + "\ncredential_source = EcsContainer\n",
			env: map[string]string{ecr.EnvContainerURL: "CONTAINER", "AWS_CONTAINER_AUTHORIZATION_TOKEN": "token-canary"}, want: pullerRole},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.AddKey(processKey)
			w.AddKey(fileKey)
			w.SetContainer("token-canary", containerKey)
			w.SetWebIdentity(func(token, role string) error {
				if token != "token-canary" || role != pullerRole {
					return fmt.Errorf("not allowed: %s", token)
				}
				return nil
			})
			token := filepath.Join(t.TempDir(), "token")
			if err := os.WriteFile(token, []byte("token-canary\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			place := strings.NewReplacer("TOKEN", token, "CONTAINER", w.ContainerURL())
			w.home(t, strings.Replace(c.config, "TOKEN", token, 1), c.credentials)
			for name, value := range c.env {
				w.env[name] = value
				if value == "TOKEN" || value == "CONTAINER" {
					w.env[name] = place.Replace(value)
				}
			}
			want := c.want
			got, err := w.fetch(t, c.sdk)
			if strings.HasPrefix(want, "arn:") {
				want = w.Assumed(want)
			}
			if err != nil || got != want {
				t.Errorf("signed with %q, want %q; %v", got, want, err)
			}
			if n := w.Count(fakeaws.MetadataToken, "") + w.Count(fakeaws.MetadataV1, ""); n != 0 {
				t.Errorf("the instance's metadata service was asked %d times", n)
			}
		})
	}
}

// Each kind of profile that Berth does not use is refused with its reason, and what is missing is
// named. The metadata service of the instance is never asked.
func TestSDKRefuses(t *testing.T) {
	for _, c := range []struct {
		name, config string
		env          map[string]string
		outcome      ecr.Outcome
		want         string
	}{
		{name: "SSO", config: "sso_start_url = https://x\nsso_region = us-east-1\nsso_account_id = 1\nsso_role_name = r\n", outcome: ecr.Refused, want: "SSO needs a login in a browser"},
		{name: "SSO session", config: "sso_session = s\nsso_account_id = 1\nsso_role_name = r\n[sso-session s]\nsso_region = us-east-1\nsso_start_url = https://x\n", outcome: ecr.Refused, want: "SSO"},
		{name: "login", config: "login_session = arn:aws:iam::1:user/x\n", outcome: ecr.Refused, want: "login_session needs a login in a browser"},
		{name: "MFA", config: "role_arn = " + pullerRole + "\nsource_profile = base\nmfa_serial = arn:aws:iam::1:mfa/x\n[profile base]\naws_access_key_id = A\naws_secret_access_key = canary\n", outcome: ecr.Refused, want: "mfa_serial"},
		{name: "instance metadata", config: "role_arn = " + pullerRole + "\ncredential_source = Ec2InstanceMetadata\n", outcome: ecr.Refused, want: "write instanceProfile: {} in place of sdk"},
		{name: "no credentials", config: "region = us-east-1\n", outcome: ecr.NoKeys, want: `profile "pull" has no credentials`},
		{name: "half a pair", config: "aws_access_key_id = A\n", outcome: ecr.NoKeys, want: `profile "pull" of`},
		{name: "source_profile is missing", config: "role_arn = " + pullerRole + "\nsource_profile = base\n", outcome: ecr.NoKeys, want: `source_profile "base"`},
		{name: "no role", config: "source_profile = base\n[profile base]\naws_access_key_id = A\naws_secret_access_key = canary\n", outcome: ecr.NoKeys, want: "role_arn"},
		{name: "web identity without a token file", config: "role_arn = " + pullerRole + "\nweb_identity_token_file = /no/such/token\n", outcome: ecr.NoKeys, want: "/no/such/token"},
		{name: "container over plain http", config: "role_arn = " + pullerRole + "\ncredential_source = EcsContainer\n",
			env: map[string]string{ecr.EnvContainerURL: "http://10.0.0.1/x"}, outcome: ecr.Refused, want: "10.0.0.1 over plain http"},
		{name: "container that refuses", config: "role_arn = " + pullerRole + "\ncredential_source = EcsContainer\n",
			env: map[string]string{ecr.EnvContainerURL: "CONTAINER", "AWS_CONTAINER_AUTHORIZATION_TOKEN": "canary"}, outcome: ecr.Denied, want: "ask the container credentials endpoint: access denied: AccessDenied"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.home(t, "[profile pull]\n"+c.config, "")
			for name, value := range c.env {
				w.env[name] = strings.Replace(value, "CONTAINER", w.ContainerURL(), 1)
			}
			_, err := w.fetch(t, ecr.SDK{Profile: "pull"})
			if !errors.Is(err, c.outcome) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v\nwant %s: … %s", err, c.outcome, c.want)
			}
			if n := w.Count(fakeaws.MetadataToken, "") + w.Count(fakeaws.MetadataV1, ""); n != 0 {
				t.Errorf("the instance's metadata service was asked %d times", n)
			}
		})
	}
}

// Whatever a credential_process does, it is bounded, nothing of its output shows, and no process of
// it is left.
func TestCredentialProcessMisbehaves(t *testing.T) {
	pidFile := filepath.Join(t.TempDir(), "pid")
	child := "sleep 1000 & echo $! > " + pidFile + "; "
	for _, c := range []struct {
		name, command string
		outcome       ecr.Outcome // "" when it serves
		want          string
	}{
		{"hangs", child + "sleep 1000", ecr.Busy, "did not end in time"},
		{"a child keeps the pipe", child + script(staticKey), "", ""},
		{"a child keeps the pipe of a failure", child + "exit 3", ecr.Busy, "exit status 3"},
		{"prints 10 MB", child + "head -c 10000000 /dev/zero | tr '\\0' c", ecr.Busy, "printed more than"},
		{"prints for ever", child + "yes canary", ecr.Busy, "printed more than"},
		{"prints a secret and fails", "echo canary; echo canary >&2; exit 1", ecr.Busy, "exit status 1"},
		{"prints a secret and no JSON", "echo '{\"SecretAccessKey\": canary'", ecr.Busy, "no JSON"},
		{"another version", `echo '{"Version":2,"AccessKeyId":"A","SecretAccessKey":"canary"}'`, ecr.Busy, "version"},
		{"no keys", `echo '{"Version":1,"AccessKeyId":"A"}'`, ecr.Busy, "no keys"},
		{"a key that is no header", `printf '{"Version":1,"AccessKeyId":"A\\nX","SecretAccessKey":"canary"}'`, ecr.Busy, "no keys"},
		{"expired", `echo '{"Version":1,"AccessKeyId":"A","SecretAccessKey":"canary","Expiration":"2001-01-01T00:00:00Z"}'`, ecr.Rejected, "expired"},
		{"is missing", "/no/such/program --secret canary", ecr.NoKeys, "exit status 127"},
		{"reads stdin", "cat >/dev/null; exit 4", ecr.Busy, "exit status 4"},
		{"sees no keys", `test -z "$AWS_SECRET_ACCESS_KEY" && exit 5`, ecr.Busy, "exit status 5"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("AWS_SECRET_ACCESS_KEY", "canary")
			if err := os.Remove(pidFile); err != nil && !errors.Is(err, os.ErrNotExist) {
				t.Fatal(err)
			}
			w := newWorld(t)
			w.home(t, "[profile pull]\ncredential_process = "+c.command+"\n", "")
			chain := w.chain(t, ecr.Options{Sources: []ecr.Source{{SDK: &ecr.SDK{Profile: "pull"}}}})
			if c.name == "hangs" {
				w.client.processLimit = time.Second
			}
			res := chain.Fetch(t.Context(), ecr.Request{Registry: registry(t, usEast), Hasty: true})
			switch {
			case c.outcome == "" && res.Err != nil:
				t.Error(res.Err)
			case c.outcome != "" && (!errors.Is(res.Err, c.outcome) || !strings.Contains(res.Err.Error(), c.want)):
				t.Errorf("%v\nwant %s: … %s", res.Err, c.outcome, c.want)
			}
			if res.Err != nil {
				noCanary(t, res.Err.Error(), "canary")
			}
			if b, err := os.ReadFile(pidFile); err == nil {
				gone(t, strings.TrimSpace(string(b)))
			}
		})
	}
}

// gone waits until a process has ended; the kernel may need a moment after the signal.
func gone(t *testing.T, pid string) {
	t.Helper()
	n, err := strconv.Atoi(pid)
	if err != nil {
		t.Fatal(err)
	}
	for range 500 {
		b, err := os.ReadFile("/proc/" + pid + "/stat")
		if errors.Is(syscall.Kill(n, 0), syscall.ESRCH) || err != nil || strings.Contains(string(b), ") Z ") {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Errorf("process %s is left", pid)
}

// The name of an identity stays the same when its keys are rotated, and the stamp changes.
func TestSDKIdentity(t *testing.T) {
	w := newWorld(t)
	w.home(t, "", "[pull]\naws_access_key_id = ASIA1\naws_secret_access_key = x\naws_session_token = y\n")
	source := ecr.Source{SDK: &ecr.SDK{Profile: "pull"}}
	before := source.Identity(w.getenv)
	same := source.Identity(w.getenv)
	w.home(t, "", "[pull]\naws_access_key_id = ASIA2\naws_secret_access_key = x\naws_session_token = z\n")
	after := source.Identity(w.getenv)
	if before.Err != nil || before != same || before.Name != after.Name || before.Stamp == after.Stamp {
		t.Errorf("before %+v, again %+v, after a rotation %+v", before, same, after)
	}
	for _, other := range []ecr.SDK{{Profile: "push"}, {Profile: "pull", ConfigFile: "/x"}, {Profile: "pull", CredentialsFile: "/x"}, {}} {
		if id := (ecr.Source{SDK: &other}).Identity(w.getenv); id.Name == before.Name {
			t.Errorf("%+v has the name of the profile pull", other)
		}
	}
	nowhere := func(string) string { return "/no/such/file" }
	if id := source.Identity(nowhere); !errors.Is(id.Err, ecr.NoKeys) || id.Name != "" {
		t.Errorf("without files: %+v", id)
	}
}

// The instance profile, static keys and a profile of the SDK, in each order, each failing in each
// way of the outcome table: the first that serves gives the token, each failure is remembered as the
// table says, and the metadata service is asked only for a profile before one that serves.
func TestEveryOrderAndFailure(t *testing.T) {
	sdkKey := fakeaws.Key{ID: "ASIASDK", Secret: "sdk-canary", Session: "sdk-session-canary"}
	kinds := map[string]struct {
		source ecr.Source
		key    fakeaws.Key
	}{
		"profile": {ecr.Source{InstanceProfile: &ecr.InstanceProfile{}}, profileKey},
		"static":  {ecr.Source{Static: &ecr.StaticKeys{}}, staticKey},
		"sdk":     {ecr.Source{SDK: &ecr.SDK{Profile: "pull"}}, sdkKey},
	}
	// A way to fail, and its outcome: "" for one that serves.
	ways := map[string]struct {
		fault   fakeaws.Fault
		outcome ecr.Outcome
	}{
		"serves":   {},
		"denied":   {fakeaws.Fault{Status: 400, Code: "AccessDeniedException"}, ecr.Denied},
		"rejected": {fakeaws.Fault{Status: 400, Code: "ExpiredTokenException"}, ecr.Rejected},
		"busy":     {fakeaws.Fault{Status: 500}, ecr.Busy},
		"nothing":  {fakeaws.Fault{}, "own"}, // the outcome of the source that has no credentials
	}
	nothing := map[string]ecr.Outcome{"profile": ecr.NoRole, "static": ecr.NoKeys, "sdk": ecr.NoKeys}
	orders := [][]string{
		{"profile", "static", "sdk"}, {"profile", "sdk", "static"}, {"static", "profile", "sdk"},
		{"static", "sdk", "profile"}, {"sdk", "profile", "static"}, {"sdk", "static", "profile"},
		{"static", "sdk"}, {"sdk", "static"}, {"sdk"},
	}
	names := []string{"serves", "denied", "rejected", "busy", "nothing"}
	runs := 0
	for _, order := range orders {
		for n := range len(names) * len(names) * len(names) {
			way := []string{names[n%5], names[n/5%5], names[n/25]}
			if len(order) < 3 && n >= 25 || len(order) < 2 && n >= 5 {
				break
			}
			runs++
			w := newWorld(t)
			w.AddKey(sdkKey)
			credentials := "[pull]\naws_access_key_id = " + sdkKey.ID + "\naws_secret_access_key = " + sdkKey.Secret + "\naws_session_token = " + sdkKey.Session + "\n"
			secret := staticKey.Secret
			var sources []ecr.Source
			serves, asksProfile := "", false
			want := map[string]ecr.Outcome{} // by kind
			for i, kind := range order {
				sources = append(sources, kinds[kind].source)
				how := ways[way[i]]
				if how.outcome == "own" {
					how.outcome = nothing[kind]
					switch kind {
					case "profile":
						w.SetRole("", fakeaws.Key{})
					case "static":
						secret = ""
					case "sdk":
						credentials = "[other]\n"
					}
				} else if how.outcome != "" {
					how.fault.Point, how.fault.KeyID = fakeaws.ECR, kinds[kind].key.ID
					w.Inject(how.fault)
				}
				if serves == "" {
					asksProfile = asksProfile || kind == "profile"
					if how.outcome == "" {
						serves = kinds[kind].key.ID
					} else {
						want[kind] = how.outcome
					}
				}
			}
			w.home(t, "", credentials)
			w.env["AWS_ACCESS_KEY_ID"], w.env["AWS_SECRET_ACCESS_KEY"] = staticKey.ID, secret
			chain := w.chain(t, ecr.Options{Sources: sources})
			res := chain.Fetch(t.Context(), ecr.Request{Registry: registry(t, usEast), Hasty: true})
			where := fmt.Sprint(order, way[:len(order)])
			got := ""
			if res.Err == nil {
				issued, _ := w.Token(res.Token.Password.Reveal())
				got = issued.KeyID
			} else {
				noCanary(t, res.Err.Error(), "canary")
			}
			if got != serves {
				t.Errorf("%s: %q serves, want %q; %v", where, got, serves, res.Err)
			}
			for i, kind := range order {
				id := chain.Identity(i)
				if id.Name == "" {
					if kind != "static" || secret != "" {
						t.Errorf("%s: %s has no name: %v", where, kind, id.Err)
					}
					continue
				}
				verdict, learned := res.Learned[id.Name]
				outcome, failed := want[kind]
				if learned != failed || verdict.Outcome != outcome {
					t.Errorf("%s: %s learned %q, want %q", where, kind, verdict.Outcome, outcome)
				}
				table := ecr.Decide(&ecr.Error{Outcome: outcome}).Remember
				if serves == "" {
					table = min(table, 10*time.Second)
				}
				if failed && verdict.Until.Sub(verdict.At) != table {
					t.Errorf("%s: %s is remembered for %s, the table says %s", where, kind, verdict.Until.Sub(verdict.At), table)
				}
			}
			if asked := w.Count(fakeaws.MetadataToken, "") > 0; asked != asksProfile {
				t.Errorf("%s: the metadata service was asked: %t, want %t", where, asked, asksProfile)
			}
			if n := w.Count(fakeaws.MetadataV1, ""); n != 0 {
				t.Errorf("%s: version 1 of the metadata service was asked %d times", where, n)
			}
		}
	}
	if runs != 6*125+2*25+5 {
		t.Errorf("%d runs", runs)
	}
}
