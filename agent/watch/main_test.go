package watch

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

// TestMain also serves as the child processes of limits_test.go, which change
// what holds for a whole process.
func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		os.Exit(child())
	}
	goleak.VerifyTestMain(m)
}
