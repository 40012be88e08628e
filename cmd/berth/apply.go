package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/berth-registry/berth/cmd/berth/cli"
	"github.com/berth-registry/berth/internal/managedfile"
	"github.com/berth-registry/berth/node/reconcile"
)

func newApply(o *cli.Options) *cobra.Command {
	var noProbe bool
	cmd := &cobra.Command{
		Use:   "apply",
		Short: "Write what the config says, once",
		Long: `Write the hosts.toml files that the config asks for. containerd reads them before
its next pull; nothing has to be restarted.

Files that Berth did not write are left alone and reported, unless the config
says containerd.onConflict: adopt.

A registry with a login is asked whether it accepts the login with each request
or names a token server, unless that is known or an agent runs. Each gets its own
login alone. This takes at most 8 seconds; --no-probe leaves it out.`,
		Example: "  berth apply\n  berth apply -c config.yaml --root /tmp/try",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			n, cfg, err := o.Open(cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			defer n.Close()
			setProbe(n, noProbe)
			result, failed := n.Apply(cmd.Context(), cfg, o.Logger(cmd.ErrOrStderr()))
			summary := result.Summary()
			w := cmd.OutOrStdout()
			if o.Output == "json" {
				return errors.Join(failed, cli.PrintJSON(w, summary), unfinished(summary))
			}
			for _, c := range result.Report.Changed {
				line := string(c.Action) + " " + c.Path
				if c.Reason != "" {
					line += " (" + c.Reason + ")"
				}
				fmt.Fprintln(w, line)
			}
			printSaved(w, result.Report)
			for _, c := range result.Report.Conflicts {
				fmt.Fprintf(w, "conflict %s: %s\n", c.Path, c.Reason)
			}
			for _, c := range result.Report.Skipped {
				fmt.Fprintf(w, "skipped %s: %s\n", c.Path, c.Reason)
			}
			closing := summary.Line("done")
			if failed != nil && len(result.Report.Changed) == 0 && !result.Rules {
				closing = "nothing done" // not "done": the state is unknown
			}
			return errors.Join(failed, summary.WriteNotes(w, closing), unfinished(summary))
		},
	}
	probeFlag(cmd, &noProbe)
	return cmd
}

func printSaved(w io.Writer, r managedfile.Report) {
	for _, s := range r.Saved {
		fmt.Fprintf(w, "saved %s (%s) as %s\n", s.Path, s.Why, s.Copy)
	}
}

// unfinished returns an error if files were left alone: the node is not as the config says.
func unfinished(s reconcile.Summary) error {
	var errs []error
	if n := s.Conflicts; n > 0 {
		errs = append(errs, fmt.Errorf("left alone, because Berth did not write them: %d", n))
	}
	if n := len(s.Skipped); n > 0 {
		errs = append(errs, fmt.Errorf("skipped: %d; run it again", n))
	}
	return errors.Join(errs...)
}
