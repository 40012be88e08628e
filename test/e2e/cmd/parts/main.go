// Command parts provides the real programs of the end-to-end tests: it builds those that are not
// packaged, once a machine, and prints the packages to install.
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
	// An interrupted build removes its files.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if _, err := parts.Provide(ctx, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "parts:", err)
		stop()
		os.Exit(1)
	}
}
