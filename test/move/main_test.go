package move

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"
)

// programsDir is the environment variable with the directory in which berth is built once for all
// tests.
const programsDir = "MOVE_PROGRAMS"

// TestMain is also the stand-ins: the test's own binary under another name.
func TestMain(m *testing.M) {
	if standIn, ok := standIns[filepath.Base(os.Args[0])]; ok {
		os.Exit(standIn(os.Args[1:], os.Stdout, os.Stderr))
	}
	dir, err := os.MkdirTemp("", "programs")
	if err == nil {
		err = os.Setenv(programsDir, dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		os.RemoveAll(dir)
		os.Exit(code)
	}))
}
