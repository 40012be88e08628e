package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/berth-registry/berth/test/fakes/fakeaws"
)

// awsSection is a section of docs/aws.md: its blocks in order, and its table of failures.
type awsSection struct {
	blocks   []awsBlock
	prefix   string // of each line in the table
	failures []awsFailure
}

type awsBlock struct{ kind, text string }

type awsFailure struct{ what, line string }

var (
	awsFence  = regexp.MustCompile("(?ms)^```([^\n]*)\n(.*?)^```$")
	awsPrefix = regexp.MustCompile("(?m)^Lines after `(.*: )`$")
	awsRow    = regexp.MustCompile("(?m)^\\| (.+?) \\| `([^`]+)` \\| .+ \\|$")
	// awsPath matches the start of a path of the node.
	awsPath = regexp.MustCompile(`(?m)(^# |[ =])(/(?:etc|root|eks-hybrid|usr|var)/)`)
)

func awsSections(t *testing.T) map[string]awsSection {
	t.Helper()
	page, err := os.ReadFile("../../docs/aws.md")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]awsSection{}
	for text := range strings.SplitSeq(string(page), "\n## ") {
		title, text, _ := strings.Cut(text, "\n")
		var s awsSection
		for _, m := range awsFence.FindAllStringSubmatch(text, -1) {
			s.blocks = append(s.blocks, awsBlock{m[1], m[2]})
		}
		_, table, _ := strings.Cut(text, "\n| What happens | The line | Do |\n")
		for _, m := range awsRow.FindAllStringSubmatch(table, -1) {
			s.failures = append(s.failures, awsFailure{m[1], m[2]})
		}
		if m := awsPrefix.FindStringSubmatch(text); m != nil {
			s.prefix = m[1]
		}
		found[title] = s
	}
	return found
}

// awsNode is a machine with a fake AWS, in a temporary directory.
type awsNode struct {
	*testing.T
	*fakeaws.Server
	root string
	env  map[string]string
}

func newAWSNode(t *testing.T) *awsNode {
	t.Helper()
	fake, err := fakeaws.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := fake.Close(); err != nil {
			t.Error(err)
		}
	})
	n := &awsNode{T: t, Server: fake, root: t.TempDir(), env: map[string]string{}}
	for _, pair := range fake.Env() {
		name, value, _ := strings.Cut(pair, "=")
		n.env[name] = value
	}
	n.env["HOME"] = n.root + "/root"
	t.Chdir(n.root)
	return n
}

// at puts the paths of the node in a text below the node's directory.
func (n *awsNode) at(text string) string { return awsPath.ReplaceAllString(text, "${1}"+n.root+"${2}") }

// write writes a file of the node. A file that is replaced is another one, as after a rotation.
func (n *awsNode) write(path, text string) {
	n.Helper()
	if err := os.Remove(n.root + path); err != nil && !errors.Is(err, os.ErrNotExist) {
		n.Fatal(err)
	}
	putFile(n.T, n.root+path, text)
}

// key makes AWS accept a key of an identity.
func (n *awsNode) key(id, secret, session, arn string) {
	n.AddKey(fakeaws.Key{ID: id, Secret: secret, Session: session, ARN: arn})
}

// rotated replaces the keys in a shared credentials file.
func (n *awsNode) rotated(file, id, arn string) {
	n.key(id, "rotatedSecret", "rotatedSession", arn)
	n.write(file, "[default]\naws_access_key_id = "+id+"\naws_secret_access_key = rotatedSecret\naws_session_token = rotatedSession\n")
}

// refuse makes AWS refuse requests at a point.
func (n *awsNode) refuse(p fakeaws.Point, status int, code string) {
	n.Inject(fakeaws.Fault{Point: p, Status: status, Code: code, Message: "refused"})
}

// helper writes a stand-in for aws_signing_helper that gives a key of a role.
func (n *awsNode) helper(id, arn string) {
	n.key(id, "helperSecret", "helperSession", arn)
	n.program(`test "$1" = credential-process || exit 64
shift
while test $# -gt 0; do
	case $1 in
	--certificate|--private-key) test -r "$2" || exit 66;;
	--trust-anchor-arn|--profile-arn|--role-arn) case $2 in arn:*) ;; *) exit 64;; esac;;
	*) exit 64;;
	esac
	shift 2
done
echo '{"Version":1,"AccessKeyId":"` + id + `","SecretAccessKey":"helperSecret","SessionToken":"helperSession","Expiration":"2100-01-01T00:00:00Z"}'
`)
}

func (n *awsNode) program(script string) {
	const file = "/usr/local/bin/aws_signing_helper"
	n.write(file, "#!/bin/sh\n"+script)
	if err := os.Chmod(n.root+file, 0o755); err != nil {
		n.Fatal(err)
	}
}

// berth runs a command as it is written. It returns the output, with the paths of the node, and the
// exit code.
func (n *awsNode) berth(line string) (string, int) {
	n.Helper()
	for name, value := range n.env {
		n.Setenv(name, value)
	}
	args := strings.Fields(line)
	var out bytes.Buffer
	code := run(append([]string{args[1], "--root", n.root}, args[2:]...), strings.NewReader(""), &out, &out)
	if bytes.Contains(out.Bytes(), []byte("Secret")) || bytes.Contains(out.Bytes(), []byte("Session")) {
		n.Errorf("%s shows a secret:\n%s", line, &out)
	}
	return strings.ReplaceAll(out.String(), n.root, ""), code
}

// setUp writes the files of a section and runs its commands but those of berth, which it returns,
// each with the output that the page shows.
func (n *awsNode) setUp(s awsSection) (commands, outputs []string) {
	n.Helper()
	for _, b := range s.blocks {
		switch b.kind {
		case "yaml", "ini":
			head, _, _ := strings.Cut(n.at(b.text), "\n")
			putFile(n.T, strings.TrimPrefix(head, "# "), n.at(b.text))
		case "sh":
			if strings.HasPrefix(b.text, "berth ") {
				commands = append(commands, strings.TrimSpace(b.text))
				continue
			}
			if out, err := exec.CommandContext(n.Context(), "sh", "-euc", n.at(b.text)).CombinedOutput(); err != nil {
				n.Fatalf("%s: %v\n%s", b.text, err, out)
			}
		case "text":
			outputs = append(outputs, b.text)
		case "yaml values": // test/chart renders them
		case "": // for a cluster
		default:
			n.Errorf("a block of %q", b.kind)
		}
	}
	if len(commands) == 0 {
		commands = []string{"berth credentials 111122223333.dkr.ecr.us-east-1.amazonaws.com/app"}
	}
	return commands, outputs
}

// signers returns the ids of the keys that signed the calls of ECR, oldest first.
func (n *awsNode) signers() (ids []string) {
	for _, c := range n.Calls() {
		if c.Point == fakeaws.ECR {
			ids = append(ids, c.KeyID)
		}
	}
	return ids
}

// awsMachine is a machine that a section is for.
type awsMachine struct {
	arrange func(*awsNode)
	// signers are the keys, or the roles, that sign the calls of ECR.
	signers []string
	// rotate replaces the keys by others of the same identity; calls is how often ECR is then asked.
	rotate func(*awsNode)
	calls  int
	// another replaces them by those of another identity, whose key is then used; nil if that is not
	// noticed before the token is renewed.
	another    func(*awsNode)
	anotherKey string
}

// awsMachines returns the machines of each section, the usual one first.
func awsMachines() map[string][]awsMachine {
	const hybrid, ssm = "/eks-hybrid/.aws/credentials", "/root/.aws/credentials"
	container := func(n *awsNode) {
		n.SetContainer("podToken", fakeaws.Key{ID: "ASIAPOD", Secret: "podSecret", Session: "podSession", ARN: nodeRole})
		n.write("/var/run/secrets/pods.eks.amazonaws.com/serviceaccount/eks-pod-identity-token", "podToken\n")
		n.env["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = n.ContainerURL()
		n.env["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"] = n.root + "/var/run/secrets/pods.eks.amazonaws.com/serviceaccount/eks-pod-identity-token"
	}
	const tokenFile = "/var/run/secrets/eks.amazonaws.com/serviceaccount/token"
	webIdentity := func(n *awsNode) {
		n.write(tokenFile, "webToken\n")
		n.env["AWS_WEB_IDENTITY_TOKEN_FILE"], n.env["AWS_ROLE_ARN"] = n.root+tokenFile, pullRole
		n.SetWebIdentity(func(token, role string) error {
			if !strings.HasPrefix(token, "webToken") || role != pullRole {
				return fmt.Errorf("no trust in %s", role)
			}
			return nil
		})
	}
	rotateToken := func(n *awsNode) { n.write(tokenFile, "webToken2\n") }
	environment := func(id, session, arn string) func(*awsNode) {
		return func(n *awsNode) {
			n.key(id, "envSecret", session, arn)
			n.env["AWS_ACCESS_KEY_ID"], n.env["AWS_SECRET_ACCESS_KEY"], n.env["AWS_SESSION_TOKEN"] = id, "envSecret", session
		}
	}
	fileKeys := func(n *awsNode) { n.key("ASIAEXAMPLE", "exampleSecret", "exampleSession", nodeRole+"/one") }
	rotating := func(file string) []awsMachine {
		return []awsMachine{{
			arrange: fileKeys, signers: []string{"ASIAEXAMPLE"},
			rotate:  func(n *awsNode) { n.rotated(file, "ASIASAME", nodeRole+"/two") },
			another: func(n *awsNode) { n.rotated(file, "ASIAOTHER", otherRole+"/x") }, anotherKey: "ASIAOTHER",
		}}
	}
	role := func(name, id string) func(*awsNode) {
		return func(n *awsNode) {
			n.SetRole(name, fakeaws.Key{ID: id, Secret: "roleSecret", Session: "roleSession", ARN: nodeRole})
		}
	}
	return map[string][]awsMachine{
		"EC2 and EKS nodes":     {{arrange: role("node", "ASIAROLE"), signers: []string{"ASIAROLE"}, rotate: role("node", "ASIAROLE2")}},
		"EKS Hybrid Nodes":      rotating(hybrid),
		"SSM hybrid activation": rotating(ssm),
		"Certificates: IAM Roles Anywhere": {{
			arrange: func(n *awsNode) {
				n.write("/etc/iam/pki/server.pem", "certificate")
				n.write("/etc/iam/pki/server.key", "key")
				n.helper("ASIAHELPER", nodeRole)
			},
			signers: []string{"ASIAHELPER"},
			rotate:  func(n *awsNode) { n.helper("ASIAHELPER2", nodeRole) },
			another: func(n *awsNode) {
				n.helper("ASIAHELPER3", otherRole)
				file := n.root + "/etc/berth/aws/config"
				text, err := os.ReadFile(file)
				if err != nil {
					n.Fatal(err)
				}
				n.write("/etc/berth/aws/config", "# edited\n"+string(text))
			},
			anotherKey: "ASIAHELPER3",
		}},
		"EKS Pod Identity": {{
			arrange: container, signers: []string{"ASIAPOD"},
			rotate: func(n *awsNode) {
				n.SetContainer("podToken", fakeaws.Key{ID: "ASIAPOD2", Secret: "podSecret", Session: "podSession", ARN: nodeRole})
			},
		}, { // in kubelet's environment the instance profile serves
			arrange: role("node", "ASIAROLE"), signers: []string{"ASIAROLE"}, rotate: role("node", "ASIAROLE2"),
		}},
		"IRSA": {{arrange: webIdentity, signers: []string{pullRole}, rotate: rotateToken}},
		"Keys for each registry": {{
			arrange: func(n *awsNode) {
				putFile(n.T, n.root+"/etc/berth/secrets/.keep", "")
				n.key("AKIAEXAMPLE1", "exampleSecret1", "", "arn:aws:iam::111122223333:user/one")
				n.key("AKIAEXAMPLE2", "exampleSecret2", "", "arn:aws:iam::111122223333:user/two")
			},
			signers: []string{"AKIAEXAMPLE1", "AKIAEXAMPLE2"},
			// The new pair of the first registry gets a new token, that of the second does not.
			rotate: func(n *awsNode) {
				n.key("AKIAEXAMPLE3", "exampleSecret3", "", "arn:aws:iam::111122223333:user/one")
				n.key("AKIAEXAMPLE4", "exampleSecret4", "", "arn:aws:iam::111122223333:user/two")
				n.write("/etc/berth/secrets/one-id", "AKIAEXAMPLE3\n")
				n.write("/etc/berth/secrets/one-secret", "exampleSecret3\n")
				n.write("/etc/berth/secrets/two", "[pull]\naws_access_key_id = AKIAEXAMPLE4\naws_secret_access_key = exampleSecret4\n")
			},
			calls: 1,
		}},
		"CI": {{
			arrange: environment("AKIACI", "", ""), signers: []string{"AKIACI"},
			another: environment("AKIACI2", "", ""), anotherKey: "AKIACI2",
		}, {
			arrange: environment("ASIACI", "envSession", nodeRole+"/job-1"), signers: []string{"ASIACI"},
			rotate:  environment("ASIACI2", "envSession", nodeRole+"/job-2"),
			another: environment("ASIACI3", "envSession", otherRole+"/job-3"), anotherKey: "ASIACI3",
		}, {
			arrange: webIdentity, signers: []string{pullRole}, rotate: rotateToken,
		}},
		"A role to assume": {{
			arrange: func(n *awsNode) { n.key("AKIAEXAMPLE", "exampleSecret", "", "") },
			signers: []string{"arn:aws:iam::444455556666:role/ecr-pull"},
			rotate: func(n *awsNode) {
				n.key("AKIAEXAMPLE5", "exampleSecret5", "", "")
				n.write("/etc/berth/aws/credentials", "[base]\naws_access_key_id = AKIAEXAMPLE5\naws_secret_access_key = exampleSecret5\n")
			},
		}},
	}
}

const (
	nodeRole  = "arn:aws:sts::111122223333:assumed-role/node"
	otherRole = "arn:aws:sts::999988887777:assumed-role/node"
	pullRole  = "arn:aws:iam::111122223333:role/ecr-pull"
)

// TestAWSPage sets up a machine as each section of docs/aws.md says, runs its commands, and compares
// what they print, who signs the call of ECR, and how often ECR is asked after a rotation.
func TestAWSPage(t *testing.T) {
	sections := awsSections(t)
	for title, machines := range awsMachines() {
		for i, m := range machines {
			t.Run(fmt.Sprint(title, i), func(t *testing.T) {
				s := sections[title]
				if len(s.blocks) == 0 {
					t.Fatal("the page has no such section, or nothing in it")
				}
				n := newAWSNode(t)
				m.arrange(n)
				commands, outputs := n.setUp(s)
				if len(outputs) != len(commands) {
					t.Fatalf("%d commands of berth and %d outputs", len(commands), len(outputs))
				}
				for j, command := range commands {
					out, code := n.berth(command)
					want := outputs[j]
					if i > 0 && strings.Contains(m.signers[0], "ROLE") {
						want = strings.ReplaceAll(want, "sdk (", "instance profile (")
					}
					if code != 0 || !awsMatch(`\A`, want, `\z`, out) {
						t.Errorf("%s: exit code %d; the page shows\n%s\nprinted was\n%s", command, code, want, out)
					}
				}
				n.checkSigners(m.signers)
				n.checkRotation(m, commands)
				if asks := n.Count(fakeaws.MetadataToken, "") > 0; asks != strings.Contains(m.signers[0], "ROLE") {
					t.Errorf("the metadata service of the instance was asked: %t", asks)
				}
			})
		}
	}
}

func (n *awsNode) checkSigners(want []string) {
	n.Helper()
	want = slices.Clone(want)
	for i, id := range want {
		if strings.HasPrefix(id, "arn:") {
			want[i] = n.Assumed(id)
		}
	}
	if got := n.signers(); !slices.Equal(got, want) {
		n.Errorf("ECR's calls are signed by %q, want %q", got, want)
	}
}

// checkRotation rotates the keys, and then replaces them by those of another identity.
func (n *awsNode) checkRotation(m awsMachine, commands []string) {
	n.Helper()
	ask := func() int {
		before := len(n.signers())
		for _, command := range commands {
			if out, code := n.berth(command); code != 0 {
				n.Errorf("%s: exit code %d\n%s", command, code, out)
			}
		}
		return len(n.signers()) - before
	}
	if m.rotate != nil {
		m.rotate(n)
		if calls := ask(); calls != m.calls {
			n.Errorf("after a rotation ECR was asked %d times, want %d", calls, m.calls)
		}
	}
	if m.another != nil {
		m.another(n)
		ask()
		if ids := n.signers(); ids[len(ids)-1] != m.anotherKey {
			n.Errorf("the token is that of %s after %s has replaced it", ids[len(ids)-1], m.anotherKey)
		}
	}
}

// awsFailures causes each failure of a section on its machine.
func awsFailures() map[string]map[string]func(*awsNode) {
	denied := func(n *awsNode) { n.refuse(fakeaws.ECR, 400, "AccessDeniedException") }
	expired := func(n *awsNode) { n.refuse(fakeaws.ECR, 400, "ExpiredTokenException") }
	without := func(files ...string) func(*awsNode) {
		return func(n *awsNode) {
			for _, f := range files {
				if err := os.Remove(n.root + f); err != nil {
					n.Fatal(err)
				}
			}
		}
	}
	set := func(name, value string) func(*awsNode) { return func(n *awsNode) { n.env[name] = value } }
	program := func(script string) func(*awsNode) { return func(n *awsNode) { n.program(script) } }
	profile := func(text string) func(*awsNode) {
		return func(n *awsNode) { n.write("/etc/berth/aws/config", "[profile ecr-pull]\n"+text) }
	}
	return map[string]map[string]func(*awsNode){
		"EC2 and EKS nodes": {
			"The instance has no role": func(n *awsNode) { n.SetRole("", fakeaws.Key{}) },
			"The role may not log in":  denied,
			"This is not EC2":          set("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1"),
		},
		"EKS Hybrid Nodes": {
			"Neither file exists":      without("/eks-hybrid/.aws/credentials"),
			"The rotation has stopped": expired,
			"The role may not log in":  denied,
		},
		"SSM hybrid activation": {
			"There is no file":                without("/root/.aws/credentials"),
			"The keys are in another profile": func(n *awsNode) { n.write("/root/.aws/credentials", "[ssm]\n") },
			"SSM Agent has stopped":           expired,
		},
		"Certificates: IAM Roles Anywhere": {
			"The program is missing, or must not be executed":                                     without("/usr/local/bin/aws_signing_helper"),
			"The certificate has expired, the trust anchor is disabled, or AWS cannot be reached": program("echo Secret; echo Secret >&2; exit 1\n"),
			"There is no shell, as in the chart's pod":                                            func(n *awsNode) { n.env["PATH"] = n.root },
			"It gives old keys":        program(`echo '{"Version":1,"AccessKeyId":"A","SecretAccessKey":"Secret","Expiration":"2001-01-01T00:00:00Z"}'` + "\n"),
			"It prints something else": program("echo Secret\n"),
			"The role may not log in":  denied,
		},
		"EKS Pod Identity": {
			"There is no association, or the pod is older": set("AWS_CONTAINER_CREDENTIALS_FULL_URI", ""),
			"The endpoint refuses":                         func(n *awsNode) { n.SetContainer("another", fakeaws.Key{ID: "ASIAPOD"}) },
			"Nothing answers there":                        set("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:1/v1/credentials"),
		},
		"IRSA": {
			"The trust policy names another service account": func(n *awsNode) {
				n.SetWebIdentity(func(string, string) error { return errors.New("not authorized") })
			},
			"IAM does not know the cluster's OIDC provider": func(n *awsNode) { n.SetWebIdentity(nil) },
			"The token file is missing":                     without("/var/run/secrets/eks.amazonaws.com/serviceaccount/token"),
		},
		"Keys for each registry": {
			"The key was deleted or deactivated":                          func(n *awsNode) { n.write("/etc/berth/secrets/one-id", "AKIADELETED\n") },
			"The secret belongs to another key id, or the clock is wrong": func(n *awsNode) { n.write("/etc/berth/secrets/one-secret", "otherSecret\n") },
			"The user may not log in":                                     denied,
		},
		"CI": {
			"Nothing is set": func(n *awsNode) { n.env["AWS_ACCESS_KEY_ID"], n.env["AWS_SECRET_ACCESS_KEY"] = "", "" },
			"Half a pair":    set("AWS_SECRET_ACCESS_KEY", ""),
			"`AWS_SESSION_TOKEN` is missing for temporary keys (`ASIA…`)": func(n *awsNode) { n.key("AKIACI", "envSecret", "envSession", "") },
			"A web identity without a role": func(n *awsNode) {
				n.env["AWS_ACCESS_KEY_ID"], n.env["AWS_SECRET_ACCESS_KEY"], n.env["AWS_WEB_IDENTITY_TOKEN_FILE"] = "", "", n.root+"/token"
			},
			"The job ran too long": expired,
		},
		"A role to assume": {
			"The role does not trust the keys, or they may not assume it": func(n *awsNode) { n.refuse(fakeaws.STS, 403, "AccessDenied") },
			"`source_profile` names a profile that does not exist":        func(n *awsNode) { n.write("/etc/berth/aws/credentials", "[other]\n") },
			"The base keys were deleted":                                  func(n *awsNode) { n.refuse(fakeaws.STS, 403, "InvalidClientTokenId") },
			"`role_arn` is missing":                                       profile("source_profile = base\n"),
		},
		"Refused profiles": {
			"`sso_session`, `sso_start_url` and the other `sso_` keys": profile("sso_session = corp\nsso_account_id = 111122223333\nsso_role_name = r\n[sso-session corp]\nsso_region = us-east-1\nsso_start_url = https://x\n"),
			"`login_session`": profile("login_session = arn:aws:iam::111122223333:user/x\n"),
			"`mfa_serial`":    profile("role_arn = " + pullRole + "\nsource_profile = base\nmfa_serial = arn:aws:iam::111122223333:mfa/x\n[profile base]\naws_access_key_id = A\naws_secret_access_key = Secret\n"),
			"`credential_source = Ec2InstanceMetadata`": profile("role_arn = " + pullRole + "\ncredential_source = Ec2InstanceMetadata\n"),
		},
	}
}

// TestAWSPageFailures causes every failure that docs/aws.md lists, and compares the lines.
func TestAWSPageFailures(t *testing.T) {
	machines, failures := awsMachines(), awsFailures()
	for title, s := range awsSections(t) {
		if len(s.failures) != len(failures[title]) {
			t.Errorf("%s: %d failures on the page, and %d cases", title, len(s.failures), len(failures[title]))
		}
		for _, f := range s.failures {
			t.Run(title+"/"+f.what, func(t *testing.T) {
				cause := failures[title][f.what]
				if cause == nil {
					t.Fatal("no case causes this")
				}
				n := newAWSNode(t)
				if m := machines[title]; m != nil {
					m[0].arrange(n)
				}
				commands, _ := n.setUp(s)
				cause(n)
				out, code := n.berth(commands[0])
				if code != 1 || s.prefix == "" || !awsMatch("no ECR token for us-east-1: ", s.prefix+f.line, `(; |\n)`, out) {
					t.Errorf("exit code %d; the page shows\n%s%s\nprinted was\n%s", code, s.prefix, f.line, out)
				}
			})
		}
	}
}

// awsMatch compares a text of the page with an output. An ellipsis matches any text.
func awsMatch(before, shown, after, printed string) bool {
	pattern := strings.ReplaceAll(regexp.QuoteMeta(shown), "…", "(?s:.+?)")
	return regexp.MustCompile(before + pattern + after).MatchString(printed)
}

// Each policy of the page is JSON with statements that allow something.
func TestAWSPagePolicies(t *testing.T) {
	policies := 0
	for _, b := range awsSections(t)["IAM policies"].blocks {
		d := json.NewDecoder(strings.NewReader(b.text))
		d.DisallowUnknownFields()
		var p struct {
			Version   string
			Statement []struct {
				Effect                      string
				Action, Resource, Principal any
				Condition                   map[string]map[string]string
			}
		}
		if err := d.Decode(&p); err != nil || p.Version != "2012-10-17" || len(p.Statement) == 0 {
			t.Errorf("%v\n%s", err, b.text)
		}
		for _, s := range p.Statement {
			if s.Effect != "Allow" || s.Action == nil || s.Resource == nil && s.Principal == nil {
				t.Errorf("%+v", s)
			}
		}
		policies++
	}
	if policies != 10 {
		t.Errorf("%d policies were read, want 10", policies)
	}
}

// The comparisons can fail.
func TestAWSPageNotices(t *testing.T) {
	const shown = "…\nprovider   ecr 1 us-east-1, sdk (AWS, [redacted]), expires …\n"
	const printed = "image  x\nprovider   ecr 1 us-east-1, sdk (AWS, [redacted]), expires 2030\n"
	if !awsMatch(`\A`, shown, `\z`, printed) || awsMatch(`\A`, shown, `\z`, strings.ReplaceAll(printed, "sdk", "static keys")) {
		t.Error("the comparison of outputs is of no use")
	}
}
