package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/berth-registry/berth/cmd/berth/cli"
	"github.com/berth-registry/berth/hostsconf"
	"github.com/berth-registry/berth/node/reconcile"
)

func newPlan(o *cli.Options) *cobra.Command {
	var noProbe bool
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "Show what apply would change",
		Long: `Show what apply would change, as a diff with secrets masked. Nothing is written.
Registries about whose logins nothing is known are asked, as apply asks them.

Exit codes: 0 no difference, 1 differences, 2 failed.`,
		Example: "  berth plan\n  berth plan -c config.yaml --root /tmp/try",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			n, cfg, err := o.Open(cmd.ErrOrStderr())
			if err != nil {
				return &cli.ExitError{Code: cli.ExitUsage, Err: err}
			}
			defer n.Close()
			setProbe(n, noProbe)
			plan, err := n.Plan(cmd.Context(), cfg)
			if err != nil {
				return &cli.ExitError{Code: cli.ExitUsage, Err: err}
			}
			if err := printPlan(o, cmd.OutOrStdout(), plan); err != nil {
				return &cli.ExitError{Code: cli.ExitUsage, Err: err}
			}
			if plan.Differs() {
				return &cli.ExitError{Code: cli.ExitFailed}
			}
			return nil
		},
	}
	probeFlag(cmd, &noProbe)
	return cmd
}

func printPlan(o *cli.Options, w io.Writer, plan reconcile.Plan) error {
	summary := plan.Summary()
	if o.Output == "json" {
		return cli.PrintJSON(w, summary)
	}
	for _, t := range plan.Trees {
		if err := hostsconf.WriteDiff(w, t.Desired, t.Changes, cli.Painter(w)); err != nil {
			return err
		}
	}
	// Of another file than a hosts.toml nothing is shown but its name.
	if err := hostsconf.WriteDiff(w, hostsconf.DesiredFiles{}, plan.ConfigJSON.Changes, cli.Painter(w)); err != nil {
		return err
	}
	if len(summary.Credentials) > 0 {
		fmt.Fprintln(w, "credentials:")
	}
	for _, c := range summary.Credentials {
		fmt.Fprintf(w, "  %s\n", c)
	}
	return summary.WriteNotes(w, summary.Line("to do"))
}
