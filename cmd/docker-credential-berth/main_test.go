package main

import (
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
		command.Helper: main,
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

type fakeKey struct{}

// testdata/script is the specification of the program, which runs as docker starts it. Each script
// has its own fake AWS with an instance role.
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
			env.Vars = append(env.Vars, fake.Env()...)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"calls":  cmdCalls,
			"denied": cmdDenied,
			"get":    cmdGet,
		},
		RequireUniqueNames: true,
	})
}

func startFake() (*fakeaws.Server, error) {
	fake, err := fakeaws.Start()
	if err != nil {
		return nil, err
	}
	fake.SetRole("node", fakeaws.Key{ID: "ASIAPROFILE", Secret: "profile-secret-canary", Session: "profile-session-canary"})
	return fake, nil
}

func fakeFor(t *testing.T) *fakeaws.Server {
	t.Helper()
	fake, err := startFake()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = fake.Close() })
	return fake
}

// get SERVER [FLAG…] runs the program as its clients do, with the rules and tokens of the script.
func cmdGet(ts *testscript.TestScript, neg bool, args []string) {
	ts.Check(os.WriteFile(ts.MkAbs("server"), []byte(args[0]), 0o600))
	ts.Setenv("server", ts.MkAbs("server"))
	all := append([]string{"-c", `exec docker-credential-berth "$@" get <"$server"`, "sh", "--rules", "rules.json", "--run-dir", "tokens"}, args[1:]...)
	if err := ts.Exec("sh", all...); (err != nil) != neg {
		ts.Fatalf("%v, want a failure: %t", err, neg)
	}
	if text := ts.ReadFile("stdout") + ts.ReadFile("stderr"); neg && strings.Contains(text, "canary") {
		ts.Fatalf("a secret shows: %q", text)
	}
	if strings.Count(ts.ReadFile("stdout"), "\n") != 1 {
		ts.Fatalf("stdout is not one line: %q", ts.ReadFile("stdout"))
	}
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

// denied POINT makes AWS refuse requests from now on.
func cmdDenied(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: denied point")
	}
	ts.Value(fakeKey{}).(*fakeaws.Server).Inject(deniedAt(fakeaws.Point(args[0])))
}

// deniedAt is a refusal. Like AWS, its answer quotes the key with which the request was signed.
func deniedAt(point fakeaws.Point) fakeaws.Fault {
	return fakeaws.Fault{Point: point, Status: 400, Code: "AccessDeniedException", Message: "refused: profile-session-canary"}
}
