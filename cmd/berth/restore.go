package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/berth-registry/berth/agent"
	"github.com/berth-registry/berth/agent/config"
)

func newRestore(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "restore",
		Short: "Put every file back as it was before Berth",
		Long: `Put every file back as it was before Berth, and change nothing else. No config is
needed. It refuses while an agent runs on this machine.

Edits that somebody made to files of Berth stay under ` + agent.StateDir + `/saved.`,
		Example: "  berth restore\n  berth restore --root /tmp/try",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			m, err := agent.Open(o.root)
			if err != nil {
				return err
			}
			defer m.Close()
			report, failed := m.Restore(cmd.Context(), config.Default().Containerd.CertsDir)
			w := cmd.OutOrStdout()
			if o.output == "json" {
				if err := printJSON(w, agent.Summarize(report)); err != nil {
					return err
				}
				return failed
			}
			for _, c := range report.Changed {
				fmt.Fprintf(w, "%s %s\n", c.Action, c.Path)
			}
			printSaved(w, report)
			for _, c := range report.Conflicts {
				fmt.Fprintf(w, "left alone %s: %s\n", c.Path, c.Reason)
			}
			if failed != nil {
				return failed
			}
			_, err = fmt.Fprintf(w, "put back as before: %d\n", len(report.Changed))
			return err
		},
	}
}
