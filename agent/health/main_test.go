package health

import (
	"runtime"
	"testing"

	"go.uber.org/goleak"
)

// One P: the race detector of Go 1.26 crashes when two goroutines of a synctest bubble take an
// expired timer at the same moment, because the runtime has one race context for all timers of a
// bubble (unlockAndRun in time.go).
func TestMain(m *testing.M) {
	runtime.GOMAXPROCS(1)
	goleak.VerifyTestMain(m)
}
