package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/berth-registry/berth/hostsconf"
)

func newApply(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "apply",
		Short: "Write what the config says, once",
		Long: `Write the hosts.toml files that the config asks for. containerd reads them before
its next pull; nothing has to be restarted.

Files that Berth did not write are left alone and reported, unless the config
says containerd.onConflict: adopt.`,
		Example: "  berth apply\n  berth apply -c config.yaml --root /tmp/try",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			m, cfg, err := o.open(cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			defer m.Close()
			result, failed := m.Apply(cmd.Context(), cfg, o.logger(cmd.ErrOrStderr()))
			summary := result.Summary()
			w := cmd.OutOrStdout()
			if o.output == "json" {
				return errors.Join(failed, printJSON(w, summary), conflicts(summary.Conflicts))
			}
			for _, c := range result.Report.Changed {
				if c.Action == "" || !hostsconf.IsDifference(c) {
					continue
				}
				fmt.Fprintf(w, "%s %s\n", c.Action, c.Path)
			}
			for _, s := range result.Report.Saved {
				fmt.Fprintf(w, "kept what stood in %s (%s) as %s\n", s.Path, s.Why, s.Copy)
			}
			for _, c := range result.Report.Conflicts {
				fmt.Fprintf(w, "conflict %s: %s\n", c.Path, c.Reason)
			}
			if failed != nil {
				return failed
			}
			if err := printNotes(w, summary, "done"); err != nil {
				return err
			}
			return conflicts(summary.Conflicts)
		},
	}
}

// conflicts makes files that were left alone a failure: the node is not as the
// config wants it.
func conflicts(n int) error {
	switch n {
	case 0:
		return nil
	case 1:
		return errors.New("1 file was left alone because somebody else wrote it")
	}
	return fmt.Errorf("%d files were left alone because somebody else wrote them", n)
}
