package main

import (
	"bytes"
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/berth-registry/berth/credprovider"
	"github.com/berth-registry/berth/credprovider/command"
	"github.com/berth-registry/berth/credprovider/ecr"
	"github.com/berth-registry/berth/credprovider/ecr/client"
	programversion "github.com/berth-registry/berth/internal/version"
	"github.com/berth-registry/berth/test/fakes/fakeaws"
)

func TestMain(m *testing.M) {
	// No test may reach a real metadata service. The commands of scripts pass here, too, and have
	// their own endpoint.
	if os.Getenv("AWS_EC2_METADATA_SERVICE_ENDPOINT") == "" {
		os.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1")
	}
	testscript.Main(m, map[string]func(){
		command.Name: main,
		command.Fetcher: func() {
			is := programversion.Of("")
			os.Exit(command.Run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr, command.Program{
				Name: command.Fetcher, Version: is, Tokens: command.FromAWS(is, func(rules credprovider.Rules) ecr.Client {
					return client.New(client.Options{Proxy: rules.Proxy})
				}),
			}))
		},
	})
}

var (
	profileKey = fakeaws.Key{ID: "ASIAPROFILE", Secret: "profile-secret-canary", Session: "profile-session-canary"}
	staticKey  = fakeaws.Key{ID: "AKIASTATIC", Secret: "static-secret-canary"}
)

// podRole is the trust of the roles of pods: role/puller takes one token.
func podRole(token, role string) error {
	if token != "pod-token-canary" || role != "arn:aws:iam::111122223333:role/puller" {
		return errors.New("not authorized with " + token)
	}
	return nil
}

type fakeKey struct{}

// testdata/script is the specification of the program, which runs as kubelet starts it. Each script
// has its own fake AWS with an instance role, and static keys in the environment.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			fake, err := startFake()
			if err != nil {
				return err
			}
			env.Defer(func() { _ = fake.Close() })
			env.Setenv("GORACE", os.Getenv("GORACE"))
			env.Values[fakeKey{}] = fake
			fake.SetWebIdentity(podRole)
			env.Vars = append(env.Vars, fakeEnv(fake)...)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"fault":   cmdFault,
			"calls":   cmdCalls,
			"oneline": cmdOneLine,
			"big":     cmdBig,
		},
		RequireUniqueNames: true,
	})
}

func startFake() (*fakeaws.Server, error) {
	fake, err := fakeaws.Start()
	if err != nil {
		return nil, err
	}
	fake.SetRole("node", profileKey)
	fake.AddKey(staticKey)
	return fake, nil
}

func fakeEnv(fake *fakeaws.Server) []string {
	return append(fake.Env(), "AWS_ACCESS_KEY_ID="+staticKey.ID, "AWS_SECRET_ACCESS_KEY="+staticKey.Secret)
}

// fault POINT KEYID|any STATUS CODE makes AWS refuse requests from now on.
func cmdFault(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 4 {
		ts.Fatalf("usage: fault point keyid|any status code")
	}
	status, err := strconv.Atoi(args[2])
	ts.Check(err)
	f := fakeaws.Fault{Point: fakeaws.Point(args[0]), Status: status, Code: args[3], Message: "refused"}
	if args[1] != "any" {
		// Like AWS, the answer quotes the key with which the request was signed.
		f.KeyID, f.Message = args[1], "refused: "+profileKey.Session
	}
	ts.Value(fakeKey{}).(*fakeaws.Server).Inject(f)
}

// calls POINT N checks how often AWS was asked so far.
func cmdCalls(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: calls point n")
	}
	got := ts.Value(fakeKey{}).(*fakeaws.Server).Count(fakeaws.Point(args[0]), "")
	if strconv.Itoa(got) != args[1] {
		ts.Fatalf("%s was asked %d times, want %s", args[0], got, args[1])
	}
}

// oneline checks that stderr is one line without a secret.
func cmdOneLine(ts *testscript.TestScript, neg bool, args []string) {
	text := ts.ReadFile("stderr")
	if strings.Count(text, "\n") != 1 || !strings.HasSuffix(text, "\n") || !strings.HasPrefix(text, "berth-credential-provider: ") {
		ts.Fatalf("stderr is not one line of ours: %q", text)
	}
	if strings.Contains(text, "canary") {
		ts.Fatalf("a secret shows: %q", text)
	}
}

// big FILE BYTES writes an endless JSON string of that size.
func cmdBig(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: big file bytes")
	}
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(`{"image":"`+strings.Repeat("a", n)), 0o600))
}

func TestExitStatus(t *testing.T) {
	for _, c := range []struct {
		args []string
		want int
	}{
		{[]string{"--help"}, 0}, {[]string{"-h"}, 0}, {[]string{"--version"}, 0},
		{[]string{"--no-such-flag"}, 2}, {[]string{"--rules"}, 2}, {[]string{"argument"}, 2}, {[]string{"get-credentials", "x"}, 2}, {[]string{"get-credentials"}, 1},
		{nil, 1},
	} {
		var out, errOut bytes.Buffer
		if got := command.Run(c.args, strings.NewReader("{"), &out, &errOut, command.Program{Name: command.Name, Tokens: command.FromFiles("v1")}); got != c.want {
			t.Errorf("%q: exit %d, want %d; %s", c.args, got, c.want, &errOut)
		}
		if (c.want == 0) != (out.Len() > 0) || (c.want == 0) != (errOut.Len() == 0) {
			t.Errorf("%q: stdout %q, stderr %q", c.args, &out, &errOut)
		}
	}
}
