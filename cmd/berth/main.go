// Command berth decides where the container images of a node are pulled from,
// and with which credentials. Run "berth help" for its verbs; each has a file
// of its own in this folder. What they do is in package agent.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// run carries out a command line and gives the exit code. The first signal
// asks it to come to an end, the second one ends it.
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
