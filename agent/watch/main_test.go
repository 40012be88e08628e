package watch

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

// TestMain is also the main function of the child process in limits_test.go.
func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		os.Exit(child())
	}
	goleak.VerifyTestMain(m)
}
