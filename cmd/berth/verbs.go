package main

import (
	"io"

	"github.com/spf13/cobra"

	"github.com/berth-registry/berth/cmd/berth/cli"
	"github.com/berth-registry/berth/cmd/berth/images"
)

// run runs a command line and returns the exit code.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	return cli.Run(args, stdin, stdout, stderr, verbs)
}

// verbs returns the commands of berth.
func verbs(o *cli.Options) []*cobra.Command {
	return []*cobra.Command{
		newPlan(o), newApply(o), newRestore(o), newConvert(o), newCredentials(o), newAgent(o),
		newStatus(o), newDoctor(o), newInstall(o), newUninstall(o), newPlace(o), images.New(o),
		newTrace(o), newStartupTaint(), newVersion(o),
	}
}
