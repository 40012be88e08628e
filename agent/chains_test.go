package agent

import (
	"encoding/base64"
	"log/slog"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/berth-registry/berth/credprovider"
	"github.com/berth-registry/berth/credprovider/ecr"
	"github.com/berth-registry/berth/credprovider/ecr/client"
	"github.com/berth-registry/berth/test/fakes/fakeaws"
	"github.com/berth-registry/berth/test/nodetest"
)

const (
	firstECR  = "111122223333.dkr.ecr.eu-west-1.amazonaws.com"
	secondECR = "444455556666.dkr.ecr.eu-west-1.amazonaws.com"
	twoChains = `registries:
- host: 111122223333.dkr.ecr.eu-west-1.amazonaws.com
- host: 444455556666.dkr.ecr.eu-west-1.amazonaws.com
  ecr: {credentials: [{static: {accessKeyID: AKIASECOND, secretAccessKey: second}}]}
ecr:
  credentials: [{static: {accessKeyID: AKIAFIRST, secretAccessKey: first}}]
health: {mode: "off"}
`
)

// twoKeys is an AWS that accepts the keys of both chains.
func twoKeys(t *testing.T, secrets ...string) *fakeaws.Server {
	t.Helper()
	aws, err := fakeaws.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := aws.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, s := range secrets {
		aws.AddKey(fakeaws.Key{ID: "AKIA" + strings.ToUpper(s), Secret: s})
	}
	for _, e := range aws.Env() {
		name, value, _ := strings.Cut(e, "=")
		t.Setenv(name, value)
	}
	return aws
}

var basicHeader = regexp.MustCompile(`Authorization = "Basic ([^"]+)"`)

// keyOf returns the name of the keys that the token in a hosts.toml was issued for.
func keyOf(t *testing.T, aws *fakeaws.Server, body string) string {
	t.Helper()
	found := basicHeader.FindStringSubmatch(body)
	if found == nil {
		return ""
	}
	login, err := base64.StdEncoding.DecodeString(found[1])
	if err != nil {
		t.Fatal(err)
	}
	issued, ok := aws.Token(strings.TrimPrefix(string(login), "AWS:"))
	if !ok {
		t.Fatal("a token that AWS did not issue")
	}
	return issued.KeyID
}

// Two registries of one region, each with its own keys: apply, the agent and the credential
// provider never use the keys of one for the other.
func TestEachRegistryHasItsOwnChain(t *testing.T) {
	aws := twoKeys(t, "first", "second")
	n := newNode(t)
	n.write("etc/config.yaml", nodetest.Head+twoChains)
	n.start()
	keys := func() [2]string {
		return [2]string{keyOf(t, aws, n.hosts(firstECR)), keyOf(t, aws, n.hosts(secondECR))}
	}
	want := [2]string{"AKIAFIRST", "AKIASECOND"}
	n.eventually("both headers", func() bool { return keys() == want })
	n.converged()

	rules, err := credprovider.ReadRules(filepath.Join(n.root, credprovider.RulesFile))
	if err != nil {
		t.Fatal(err)
	}
	for image, key := range map[string]string{
		firstECR + "/app":  "AKIAFIRST",
		secondECR + "/app": "AKIASECOND",
		// The same registry by another of its names.
		"444455556666.dkr.ecr-fips.eu-west-1.amazonaws.com/app": "AKIASECOND",
		// Any other one.
		"777788889999.dkr.ecr.eu-west-1.amazonaws.com/app": "AKIAFIRST",
	} {
		p := credprovider.Provider{Rules: rules, Tokens: rules.Tokens(t.TempDir(), ecr.Options{Client: client.New(client.Options{})})}
		c, err := p.Credential(t.Context(), image, credprovider.Pod{})
		if err != nil {
			t.Errorf("%s: %v", image, err)
			continue
		}
		if issued, _ := aws.Token(c.Password.Reveal()); issued.KeyID != key {
			t.Errorf("%s: a token of %q, want %s", image, issued.KeyID, key)
		}
	}
}

func TestApplyWithTwoChains(t *testing.T) {
	for name, secrets := range map[string][]string{
		"both": {"first", "second"}, "first alone": {"first"}, "second alone": {"second"},
	} {
		t.Run(name, func(t *testing.T) {
			aws := twoKeys(t, secrets...)
			root := t.TempDir()
			m := openNode(t, root)
			for _, e := range aws.Env() {
				name, value, _ := strings.Cut(e, "=")
				t.Setenv(name, value)
			}
			_, err := m.Apply(t.Context(), nodetest.ParseConfig(t, twoChains), slog.New(slog.DiscardHandler))
			for secret, host := range map[string]string{"first": firstECR, "second": secondECR} {
				body, rerr := m.Root.ReadFile(nodetest.CertsDir + "/" + host + "/hosts.toml")
				if rerr != nil {
					body = nil
				}
				want := ""
				for _, s := range secrets {
					if s == secret {
						want = "AKIA" + strings.ToUpper(s)
					}
				}
				if got := keyOf(t, aws, string(body)); got != want {
					t.Errorf("%s: a token of %q, want %q", host, got, want)
				}
				if reported := err != nil && strings.Contains(err.Error(), host+": no ECR token"); reported != (want == "") {
					t.Errorf("%s: reported %t: %v", host, reported, err)
				}
			}
		})
	}
}
