package main

import (
	"errors"
	"flag"
	"io/fs"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/berth-registry/berth/test/fakes/fakeaws"
)

var update = flag.Bool("update", false, "write what the scripts expect anew")

func TestMain(m *testing.M) {
	noInternet(func(name, value string) {
		if _, set := os.LookupEnv(name); set {
			return // this is a command of a script
		}
		if err := os.Setenv(name, value); err != nil {
			panic(err)
		}
	})
	testscript.Main(m, map[string]func(){
		"berth": func() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) },
	})
}

// testdata/script is the specification of the command.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		UpdateScripts:       *update,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			// No script may reach the metadata service of this machine.
			env.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1")
			noInternet(env.Setenv)
			env.Setenv("GORACE", os.Getenv("GORACE"))
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"aws":      aws,
			"agentat":  agentat,
			"code":     code,
			"mode":     mode,
			"lines":    lines,
			"registry": Registry,
			"damage":   damage,
		},
	})
}

// noInternet lets commands reach this machine alone: their proxy refuses every connection.
func noInternet(setenv func(name, value string)) {
	for _, name := range []string{"http_proxy", "https_proxy"} {
		setenv(name, "http://127.0.0.1:1")
	}
	setenv("no_proxy", "127.0.0.1,localhost,::1")
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

// code N program args… runs a program and checks the exit code.
func code(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code N program args…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		exit, ok := errors.AsType[*exec.ExitError](err)
		if !ok {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// mode 0600 file… checks permission bits.
func mode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: mode 0600 file…")
	}
	want, err := strconv.ParseUint(args[0], 8, 32)
	ts.Check(err)
	for _, file := range args[1:] {
		info, err := os.Lstat(ts.MkAbs(file))
		ts.Check(err)
		if info.Mode().Perm() != fs.FileMode(want) {
			ts.Fatalf("%s has mode %04o, want %04o", file, info.Mode().Perm(), want)
		}
	}
}

// lines N stdout|stderr checks the number of lines.
func lines(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: lines N stdout|stderr")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	if got := strings.Count(ts.ReadFile(args[1]), "\n"); got != want {
		ts.Fatalf("%s has %d lines, want %d", args[1], got, want)
	}
}
