// Package scripts runs the scripts that specify the command berth (testdata/script), with a command
// line that the test gives. No script reaches more than this machine.
//
// Start with [Main] and [Run].
package scripts

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// Command is a command of a script.
type Command = func(*testscript.TestScript, bool, []string)

// Main runs the tests of a package; berth is the command of that name, for scripts and for processes
// that tests start.
func Main(m *testing.M, berth func()) {
	noInternet(func(name, value string) {
		if _, set := os.LookupEnv(name); set {
			return // this is a command of a script
		}
		if err := os.Setenv(name, value); err != nil {
			panic(err)
		}
	})
	testscript.Main(m, map[string]func(){"berth": berth})
}

// Run runs the scripts below testdata/script, which have the commands code, mode, lines, registry and
// those in more. With update it writes what they expect.
func Run(t *testing.T, update bool, more map[string]Command) {
	commands := map[string]Command{"code": code, "mode": mode, "lines": lines, "registry": registry}
	maps.Copy(commands, more)
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		UpdateScripts:       update,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			// No script may reach the metadata service of this machine.
			env.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1")
			noInternet(env.Setenv)
			env.Setenv("GORACE", os.Getenv("GORACE"))
			return nil
		},
		Cmds: commands,
	})
}

// noInternet lets commands reach this machine alone: their proxy refuses every connection.
func noInternet(setenv func(name, value string)) {
	for _, name := range []string{"http_proxy", "https_proxy"} {
		setenv(name, "http://127.0.0.1:1")
	}
	setenv("no_proxy", "127.0.0.1,localhost,::1")
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
