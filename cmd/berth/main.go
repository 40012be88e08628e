//go:build !manpages

// Command berth decides where the container images of a node are pulled from, and with which
// credentials. "berth help" lists its verbs.
//
// Each verb has a file here with its flags, its output and its exit code. The packages agent,
// node/... and images do the work. Start reading at newRoot.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// run runs a command line and returns the exit code. The first signal cancels the context, the
// second one ends the process.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	defer context.AfterFunc(ctx, stop)()
	root := newRoot(ctx, stdin, stdout, stderr)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if ctx.Err() != nil {
		err = interrupted(err)
	}
	return exitCode(err, stderr)
}
