package main

import (
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/berth-registry/berth/test/fakes/fakeaws"
	"github.com/berth-registry/berth/test/scripts"
)

var update = flag.Bool("update", false, "write what the scripts expect")

func TestMain(m *testing.M) {
	scripts.Main(m, func() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) })
}

// testdata/script is the specification of the command.
func TestScripts(t *testing.T) {
	scripts.Run(t, *update, map[string]scripts.Command{"aws": aws, "agentat": agentat})
}

// aws role|keys|denied starts a fake AWS for the script that knows an instance profile, static
// keys, or denies both.
func aws(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: aws role|keys|denied")
	}
	server, err := fakeaws.Start()
	ts.Check(err)
	ts.Defer(func() { ts.Check(server.Close()) })
	role := fakeaws.Key{ID: "ASIAROLEROLEROLEROLE", Secret: "rolesecret", Session: "rolesession"}
	static := fakeaws.Key{ID: "AKIASTATICSTATICSTAT", Secret: "staticsecret"}
	if args[0] != "keys" {
		server.SetRole("node", role)
	}
	if args[0] == "denied" {
		server.Inject(fakeaws.Fault{
			Point: fakeaws.ECR, Status: 400, Code: "AccessDeniedException",
			Message: "User is not authorized to perform: ecr:GetAuthorizationToken",
		})
	}
	server.AddKey(static)
	for _, pair := range server.Env() {
		name, value, _ := strings.Cut(pair, "=")
		ts.Setenv(name, value)
	}
	ts.Setenv("AWS_ACCESS_KEY_ID", static.ID)
	ts.Setenv("AWS_SECRET_ACCESS_KEY", static.Secret)
}
