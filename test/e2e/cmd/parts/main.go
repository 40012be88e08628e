// Command parts provides the real programs of the end-to-end tests: it builds
// what has to be built, once a machine, and says what to install.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/berth-registry/berth/test/e2e/parts"
)

func main() {
	// A build that is interrupted removes what it has made so far.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if _, err := parts.Provide(ctx, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "parts:", err)
		stop()
		os.Exit(1)
	}
}
