package main

import (
	"github.com/spf13/cobra"

	"github.com/berth-registry/berth/cmd/berth/cli"
	"github.com/berth-registry/berth/node/install"
)

func newUninstall(o *cli.Options) *cobra.Command {
	i := &installOptions{Options: o}
	cmd := &cobra.Command{
		Use:   "uninstall",
		Short: "Undo berth install",
		Long: `Put the configuration of containerd and kubelet back as it was before "berth
install". A file that was edited since loses only what Berth added to it. The
changes are shown first; a daemon is restarted only if its configuration changes.
The credential provider stays as long as a kubelet configuration names it. If a
part cannot be undone, because another tool changed it, the rest still is.

hosts.toml files are not touched: "berth restore" puts those back.

Exit codes: 0 done, or nothing to do; 1 all or a part of it failed, was refused,
or not confirmed.`,
		Example: "  berth uninstall\n  berth uninstall --kubelet --yes",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return i.run(cmd, (*install.Installer).Uninstall)
		},
	}
	i.flags(cmd)
	return cmd
}
