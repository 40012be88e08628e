package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-registry/berth/credprovider/command"
	"github.com/berth-registry/berth/credprovider/ecr"
	"github.com/berth-registry/berth/test/fakes/fakeaws"
)

// node is a machine with an instance role and without keys, for one failure.
type node struct {
	t       *testing.T
	program string
	fake    *fakeaws.Server
	dir     string
	env     []string
	stdin   string
	args    []string // more arguments
}

const ecrHost = "111122223333.dkr.ecr.us-east-1.amazonaws.com"

func newNode(t *testing.T, program string) *node {
	t.Helper()
	fake, err := startFake()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = fake.Close() })
	n := &node{t: t, program: program, fake: fake, dir: t.TempDir()}
	n.env = append(fake.Env(), "HOME="+n.local("/root"))
	n.stdin = `{"kind":"CredentialProviderRequest","apiVersion":"credentialprovider.kubelet.k8s.io/v1","image":"` + ecrHost + `/app"}`
	return n
}

// local puts the paths of a node below the directory of n, and replaces the words in capitals of
// the page by the names of the examples.
func (n *node) local(text string) string {
	return strings.NewReplacer(
		"/root", n.dir+"/root", "/usr/local", n.dir+"/usr/local", "/etc/berth", n.dir+"/etc/berth", "/var/lib/berth", n.dir+"/var/lib/berth",
		"HOST", ecrHost, "IMAGE", ecrHost+"/app", "OTHER", "mirror.corp",
	).Replace(text)
}

// installAlone installs the provider without the program that asks AWS.
func (n *node) installAlone() {
	n.t.Helper()
	program, err := os.ReadFile(n.program)
	if err != nil {
		n.t.Fatal(err)
	}
	n.program = n.local("/usr/local/libexec/berth/" + command.Name)
	n.write("/usr/local/libexec/berth/"+command.Name, string(program))
	if err := os.Chmod(n.program, 0o755); err != nil {
		n.t.Fatal(err)
	}
}

// writeNode writes a file that the provider finds below its --root.
func (n *node) writeNode(path, content string) { n.write(n.dir+path, content) }

// write writes a file at a path of the node.
func (n *node) write(path, content string) {
	path = n.local(path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		n.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		n.t.Fatal(err)
	}
}

// ask runs the program as kubelet does.
func (n *node) ask() (answer, line string, err error) {
	cmd := exec.Command(n.program, append(n.args,
		"--root", n.dir, "--rules", n.local("/var/lib/berth/provider.json"), "--run-dir", n.dir+"/tokens")...)
	var out, errOut bytes.Buffer
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = n.env, strings.NewReader(n.stdin), &out, &errOut
	err = cmd.Run()
	return out.String(), errOut.String(), err
}

// checkRemembered adds working keys: there must be an answer, and the token file of the first
// source must say for how long it is skipped.
func (n *node) checkRemembered(t *testing.T, follows string) {
	t.Helper()
	file := filepath.Join(n.dir, "tokens", "ecr_profile_us-east-1.json")
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	n.env = append(n.env, "AWS_ACCESS_KEY_ID="+staticKey.ID, "AWS_SECRET_ACCESS_KEY="+staticKey.Secret)
	if answer, line, err := n.ask(); err != nil || !strings.Contains(answer, `"username":"AWS"`) || line != "" {
		t.Fatalf("static keys do not serve: %v %s%s", err, answer, line)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var stored struct{ Verdict ecr.Verdict }
	if err := json.Unmarshal(b, &stored); err != nil {
		t.Fatal(err)
	}
	checkTime(t, stored.Verdict.Outcome, follows)
	if got := stored.Verdict.Until.Sub(stored.Verdict.At); !strings.Contains(follows, "asked again after "+describe(got)) {
		t.Errorf("it is remembered for %s, and the page says: %s", got, follows)
	}
}

// checkTime compares the page with the outcome table of the code.
func checkTime(t *testing.T, o ecr.Outcome, follows string) {
	t.Helper()
	d := ecr.Decide(o)
	if want := "asked again after " + describe(d.Remember); !strings.Contains(follows, want) {
		t.Errorf("the code says %s, the page: %s", want, follows)
	}
}

// failure causes the failure of a row of the page.
type failure struct {
	arrange func(*node)
	outcome ecr.Outcome // instead of fault, if it depends on the hardware
	source  string      // of the line, if it is not that of the table
	slow    string      // the text in the code, if to cause the failure takes too long
}

// refused makes AWS refuse the role alone.
func refused(f fakeaws.Fault) failure {
	f.Point, f.KeyID = fakeaws.ECR, profileKey.ID
	return failure{arrange: func(n *node) { n.fake.Inject(f) }}
}

func profileFailures() map[string]failure {
	return map[string]failure{
		"No metadata service answers": {arrange: func(n *node) {
			n.env = append(n.env, "AWS_EC2_METADATA_SERVICE_ENDPOINT=http://127.0.0.1:1")
		}},
		"None answers, but the hardware is EC2's": {outcome: ecr.HopLimit},
		"It refuses a session (401, 403, 404)": {arrange: func(n *node) {
			n.fake.Inject(fakeaws.Fault{Point: fakeaws.MetadataToken, Status: 403})
		}},
		"It is that of another cloud": {arrange: func(n *node) { n.fake.SetNotEC2(true) }},
		"The instance has no role":    {arrange: func(n *node) { n.fake.SetRole("", fakeaws.Key{}) }},
		"The role may not get tokens": refused(fakeaws.Fault{Status: 400, Code: "AccessDeniedException", Message: "User is not authorized"}),
		"AWS rejects the role's keys": refused(fakeaws.Fault{Status: 400, Code: "ExpiredTokenException", Message: "The security token is expired"}),
		"AWS throttles":               refused(fakeaws.Fault{Status: 400, Code: "ThrottlingException", Message: "Rate exceeded"}),
		"AWS is out of order":         refused(fakeaws.Fault{Status: 500}),
		"AWS cannot be reached":       refused(fakeaws.Fault{Drop: true}),
		"AWS answers nonsense":        refused(fakeaws.Fault{Body: "<html>"}),
	}
}

// withKeys is for a node with the metadata service of another cloud.
func withKeys(id, secret string) failure {
	return failure{arrange: func(n *node) {
		n.fake.SetNotEC2(true)
		n.env = append(n.env, "AWS_ACCESS_KEY_ID="+id, "AWS_SECRET_ACCESS_KEY="+secret)
	}}
}

func staticFailures() map[string]failure {
	return map[string]failure{
		"There are no keys": withKeys("", ""),
		"Half a pair":       withKeys(staticKey.ID, ""),
		"The file has no such profile": {arrange: func(n *node) {
			n.fake.SetNotEC2(true)
			n.write("/etc/berth/secrets/aws", "[default]\n")
			n.env = append(n.env, "AWS_PROFILE=pull", "AWS_SHARED_CREDENTIALS_FILE="+n.local("/etc/berth/secrets/aws"))
		}},
		"The key id is unknown, or was deleted": withKeys("AKIADELETED", "whatever"),
		"The secret is wrong, or the clock":     withKeys(staticKey.ID, "wrong"),
		"The role to assume is refused": {source: "static keys with a role: ", arrange: func(n *node) {
			n.fake.Inject(fakeaws.Fault{Point: fakeaws.STS, Status: 403, Code: "AccessDenied", Message: "not authorized to perform: sts:AssumeRole"})
			n.write("/var/lib/berth/provider.json", fmt.Sprintf(
				`{"version":1,"ecr":{"credentials":[{"static":{"accessKeyID":%q,"secretAccessKey":%q,"roleARN":"arn:aws:iam::111122223333:role/puller"}}]}}`,
				staticKey.ID, staticKey.Secret))
		}},
	}
}

func withRules(rules string) failure {
	return failure{arrange: func(n *node) { n.write("/var/lib/berth/provider.json", rules) }}
}

func withStdin(stdin string) failure {
	return failure{arrange: func(n *node) { n.stdin = stdin }}
}

// rulesOfEmptyNode are the rules that apply writes for an empty config.
const rulesOfEmptyNode = `{"version":1,"ecr":{},"certsDir":"/etc/containerd/certs.d"}`

func otherFailures() map[string]failure {
	return map[string]failure{
		"Another host would see the credential": withRules(
			`{"version":1,"directories":[{"upstream":"*","hosts":[{"host":"mirror.corp"}],"andUpstream":true}]}`),
		"A host is asked without TLS": withRules(
			`{"version":1,"directories":[{"upstream":"*","hosts":[{"host":"mirror.corp","insecure":true}],"andUpstream":true}]}`),
		"The rules were cut short, or edited":       withRules(`{"version":1,`),
		"The rules are of another version of Berth": withRules(`{"version":9}`),
		"The rules are a symlink": {arrange: func(n *node) {
			n.write("/var/lib/berth/elsewhere", "{}")
			if err := os.Symlink("elsewhere", n.local("/var/lib/berth/provider.json")); err != nil {
				n.t.Fatal(err)
			}
		}},
		"A hosts.toml was added or changed after the rules were written": {arrange: func(n *node) {
			n.write("/var/lib/berth/provider.json", rulesOfEmptyNode)
			n.writeNode("/etc/containerd/certs.d/_default/hosts.toml", "[host.\"https://mirror.corp\"]\n")
		}},
		"containerd reads another directory": {arrange: func(n *node) {
			n.write("/var/lib/berth/provider.json", rulesOfEmptyNode)
			n.writeNode("/etc/containerd/config.toml", "[plugins.\"io.containerd.grpc.v1.cri\".registry]\n  config_path = \"/opt/certs\"\n")
			n.writeNode("/opt/certs/_default/hosts.toml", "[host.\"https://mirror.corp\"]\n")
		}},
		"There are no rules, and a hosts.toml": {arrange: func(n *node) {
			n.writeNode("/etc/containerd/certs.d/_default/hosts.toml", "[host.\"https://mirror.corp\"]\n")
		}},
		"There are no rules, with `--require-rules`": {arrange: func(n *node) { n.args = []string{"--require-rules"} }},
		"Others may write to the directory of the rules": {arrange: func(n *node) {
			n.write("/var/lib/berth/provider.json", rulesOfEmptyNode)
			if err := os.Chmod(n.local("/var/lib/berth"), 0o777); err != nil {
				n.t.Fatal(err)
			}
		}},
		"`berth-ecr-token` is missing, and no usable token is stored or the pull is with the pod's own role": {arrange: func(n *node) { n.installAlone() }},
		"`berth-ecr-token` is of another version, and no usable token is stored": {arrange: func(n *node) {
			n.installAlone()
			build := exec.CommandContext(n.t.Context(), "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -X main.version=v0.0.1",
				"-o", filepath.Dir(n.program)+"/", "../berth-ecr-token")
			build.Env = append(os.Environ(), "CGO_ENABLED=0")
			if out, err := build.CombinedOutput(); err != nil {
				n.t.Fatalf("%v\n%s", err, out)
			}
		}},
		"It was run by hand": withStdin(""),
		"stdin is cut short": withStdin(`{"kind":`),
	}
}
