package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/berth-registry/berth/cmd/berth/cli"
	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/internal/managedfile"
	"github.com/berth-registry/berth/node/reconcile"
)

func newRestore(o *cli.Options) *cobra.Command {
	return &cobra.Command{
		Use:   "restore",
		Short: "Put every file back as it was before Berth",
		Long: `Put every file back as it was before Berth, and change nothing else. No config is
needed. It refuses while an agent runs on this machine.

Edits of files of Berth are kept below ` + reconcile.StateDir + `/saved.

Exit codes: 0 the node is as it was, 1 a file could not be put back; run it again.`,
		Example: "  berth restore\n  berth restore --root /tmp/try",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			n, err := reconcile.Open(o.Root)
			if err != nil {
				return err
			}
			defer n.Close()
			report, failed := n.Restore(cmd.Context(), config.Default())
			return printRestored(o, cmd.OutOrStdout(), report, failed)
		},
	}
}

// printRestored prints the result. It returns the error of the command.
func printRestored(o *cli.Options, w io.Writer, report managedfile.Report, failed error) error {
	failed = errors.Join(failed, unrestored(report))
	if o.Output == "json" {
		return errors.Join(failed, cli.PrintJSON(w, reconcile.SummarizeRestore(report)))
	}
	for _, c := range report.Changed {
		fmt.Fprintf(w, "%s %s\n", reconcile.Restored(c), c.Path)
	}
	printSaved(w, report)
	for _, c := range report.Conflicts {
		fmt.Fprintf(w, "left alone %s: %s\n", c.Path, c.Reason)
	}
	for _, c := range report.Skipped {
		fmt.Fprintf(w, "not put back %s: %s\n", c.Path, c.Reason)
	}
	if failed != nil {
		return failed
	}
	_, err := fmt.Fprintf(w, "put back as before: %d\n", len(report.Changed))
	return err
}

// unrestored returns an error if files were skipped: they would stay for good if the program were
// removed next.
func unrestored(r managedfile.Report) error {
	if n := len(r.Skipped); n > 0 {
		return fmt.Errorf("files not restored: %d (listed above); fix and run again", n)
	}
	return nil
}
