package main

import (
	"github.com/spf13/cobra"

	"github.com/berth-registry/berth/cmd/berth/cli"
	"github.com/berth-registry/berth/cmd/berth/images"
)

// verbs returns the commands of berth.
func verbs(o *cli.Options) []*cobra.Command {
	return []*cobra.Command{
		newPlan(o), newApply(o), newRestore(o), newConvert(o), newCredentials(o), newAgent(o),
		newStatus(o), newDoctor(o), newInstall(o), newUninstall(o), newPlace(o), images.New(o),
		newTrace(o), newStartupTaint(), newVersion(o),
	}
}
