package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-registry/berth/credprovider/ecr"
	"github.com/berth-registry/berth/test/fakes/fakeaws"
)

const pullerRole = "arn:aws:iam::111122223333:role/puller"

// withSDK is for a node whose only source is an sdk source of the rules.
func withSDK(source string, arrange func(*node)) failure {
	return failure{arrange: func(n *node) {
		n.write("/var/lib/berth/provider.json", n.local(`{"version":2,"ecr":{"credentials":[{"sdk":`+source+`}]}}`))
		n.env = append(n.env, "PATH="+os.Getenv("PATH"))
		arrange(n)
	}}
}

// withProfile is for a node with a profile in its shared config file.
func withProfile(text string, more ...func(*node)) failure {
	return withSDK(`{"profile":"ecr-pull","configFile":"/etc/berth/aws/config","credentialsFile":"/etc/berth/aws/credentials"}`, func(n *node) {
		n.write("/etc/berth/aws/config", n.local(text))
		for _, arrange := range more {
			arrange(n)
		}
	})
}

// withProcess is withProfile with a credential_process.
func withProcess(command string, more ...func(*node)) failure {
	return withProfile("[profile ecr-pull]\ncredential_process = "+command+"\n", more...)
}

// withEnvironment is for a node without a profile, with variables in its environment.
func withEnvironment(variables ...string) failure {
	f := withSDK("{}", func(n *node) {
		for _, v := range variables {
			n.env = append(n.env, strings.Replace(v, "=CONTAINER", "="+n.fake.ContainerURL(), 1))
		}
	})
	f.source = "sdk: "
	return f
}

func sdkFailures() map[string]failure {
	const (
		assume = "[profile ecr-pull]\nrole_arn = " + pullerRole + "\n"
		based  = assume + "source_profile = base\n"
		keys   = "[profile base]\naws_access_key_id = AKIABASE\naws_secret_access_key = base-canary\n"
		web    = assume + "web_identity_token_file = /var/lib/berth/token\n"
	)
	sts := func(f fakeaws.Fault) func(*node) {
		return func(n *node) {
			n.fake.AddKey(fakeaws.Key{ID: "AKIABASE", Secret: "base-canary"})
			f.Point = fakeaws.STS
			n.fake.Inject(f)
		}
	}
	token := func(n *node) { n.write("/var/lib/berth/token", "token-canary") }
	remove := func(n *node) {
		if err := os.Remove(n.local("/etc/berth/aws/config")); err != nil {
			n.t.Fatal(err)
		}
	}
	defaultProfile := withEnvironment()
	arrange := defaultProfile.arrange
	defaultProfile.arrange = func(n *node) {
		arrange(n)
		n.write("/root/.aws/config", "[default]\nregion = us-east-1\n")
	}
	return map[string]failure{
		"Neither shared file exists": withProfile("", remove),
		"A shared file cannot be read": withProfile("", remove, func(n *node) {
			if err := os.Mkdir(n.local("/etc/berth/aws/config"), 0o700); err != nil {
				n.t.Fatal(err)
			}
		}),
		"The files have no such profile":                          withProfile("[profile other]\n"),
		"The profile says nothing of credentials":                 withProfile("[profile ecr-pull]\nregion = us-east-1\n"),
		"Half a pair, two kinds of credentials, or a wrong value": withProfile(based + "credential_process = true\n" + keys),
		"The base profile is missing":                             withProfile(based),
		"A base profile, and no role":                             withProfile("[profile ecr-pull]\nsource_profile = base\n" + keys),
		"The web identity's token file is missing":                withProfile(web),
		"STS refuses the web identity": withProfile(web, token, func(n *node) {
			n.fake.SetWebIdentity(func(string, string) error { return errors.New("not authorized") })
		}),
		"IAM does not know its issuer":                                 withProfile(web, token),
		"STS refuses the role to assume":                               withProfile(based+keys, sts(fakeaws.Fault{Status: 403, Code: "AccessDenied", Message: "not authorized to perform: sts:AssumeRole"})),
		"STS is out of order":                                          withProfile(based+keys, sts(fakeaws.Fault{Status: 500})),
		"The `credential_process` is missing, or not executable (126)": withProcess("/no/such/program canary"),
		"There is no shell, as in the chart's pod":                     withProcess("true", func(n *node) { n.env = append(n.env, "PATH="+n.dir) }),
		"It fails":                    withProcess("echo canary; echo canary >&2; exit 1"),
		"It hangs":                    {slow: "it did not end in time (%s)"},
		"It prints too much":          withProcess("head -c 100000 /dev/zero"),
		"It prints no JSON":           withProcess("echo canary"),
		"It prints another version":   withProcess(`echo '{"Version":2}'`),
		"It prints no keys":           withProcess(`echo '{"Version":1}'`),
		"It prints old keys":          withProcess(`echo '{"Version":1,"AccessKeyId":"A","SecretAccessKey":"canary","Expiration":"2001-01-01T00:00:00Z"}'`),
		"SSO":                         withProfile("[profile ecr-pull]\nsso_start_url = https://x\nsso_region = us-east-1\nsso_account_id = 1\nsso_role_name = r\n"),
		"`login_session`":             withProfile("[profile ecr-pull]\nlogin_session = arn:aws:iam::111122223333:user/x\n"),
		"MFA":                         withProfile(based + "mfa_serial = arn:aws:iam::111122223333:mfa/x\n" + keys),
		"The role of the instance":    withProfile(assume + "credential_source = Ec2InstanceMetadata\n"),
		"Another `credential_source`": withProfile(assume + "credential_source = Elsewhere\n"),

		"`sdk: {}`, and nothing is set":                                            withEnvironment(),
		"`sdk: {}`, and the profile `default` has no credentials":                  defaultProfile,
		"`sdk: {}`, and half a pair":                                               withEnvironment("AWS_ACCESS_KEY_ID=" + staticKey.ID),
		"`sdk: {}`, and a web identity without a role":                             withEnvironment("AWS_WEB_IDENTITY_TOKEN_FILE=/no/such/token"),
		"`sdk: {}`, and the container endpoint refuses":                            withEnvironment("AWS_CONTAINER_CREDENTIALS_FULL_URI=CONTAINER"),
		"`sdk: {}`, and the container endpoint does not answer":                    withEnvironment("AWS_CONTAINER_CREDENTIALS_FULL_URI=http://127.0.0.1:1/"),
		"`sdk: {}`, and the container endpoint is on another machine, without TLS": withEnvironment("AWS_CONTAINER_CREDENTIALS_FULL_URI=http://10.0.0.1/"),
	}
}

// checkAskedAgain compares the last cell of a row with the outcome table of the code. After a
// failure that is found without asking nothing is stored, and the next pull looks again.
func (n *node) checkAskedAgain(t *testing.T, line, when string) {
	t.Helper()
	stored, err := filepath.Glob(n.dir + "/tokens/*.json")
	if err != nil {
		t.Fatal(err)
	}
	if when == "at the next pull" {
		if len(stored) != 0 {
			t.Errorf("the failure is remembered in %q", stored)
		}
		return
	}
	if want := "after " + describe(ecr.Decide(outcomeIn(t, line)).Remember); len(stored) != 1 || when != want {
		t.Errorf("the code says %s, the page %s; stored is %q", want, when, stored)
	}
}

// outcomeIn returns the outcome that a line names.
func outcomeIn(t *testing.T, line string) ecr.Outcome {
	t.Helper()
	for _, o := range []ecr.Outcome{ecr.NoKeys, ecr.Denied, ecr.Rejected, ecr.Busy, ecr.Refused} {
		if strings.Contains(line, ": "+string(o)+": ") {
			return o
		}
	}
	t.Fatalf("%q names no outcome", line)
	return ""
}

// checkSlow checks a failure that takes too long: package client's tests cause it, and the text
// must be in its code.
func checkSlow(t *testing.T, f failure, line string, r row) {
	t.Helper()
	source, err := os.ReadFile("../../credprovider/ecr/client/process.go")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(source), f.slow) || !strings.Contains(string(source), "processLimit = 10 * time.Second") ||
		!strings.HasSuffix(line, strings.Replace(f.slow, "%s", "10s", 1)) {
		t.Errorf("%s is not what the code says", line)
	}
	if want := "after " + describe(ecr.Decide(outcomeIn(t, line)).Remember); r[2] != want {
		t.Errorf("the code says %s, the page %s", want, r[2])
	}
}
