package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/berth-registry/berth/cmd/berth/cli"
	"github.com/berth-registry/berth/internal/managedfile"
)

// The command fails if a file changes while it is restored, so that removing the package keeps the
// program.
func TestRestoreUnfinished(t *testing.T) {
	skipped := managedfile.Change{Action: managedfile.Remove, Path: "/etc/containerd/certs.d/quay.io/hosts.toml", Reason: "changed in the meantime"}
	report := managedfile.Report{
		Changed: []managedfile.Change{{Action: managedfile.Remove, Path: "/etc/containerd/certs.d/docker.io/hosts.toml"}},
	}
	for _, format := range []string{"text", "json"} {
		t.Run(format, func(t *testing.T) {
			o := &cli.Options{Output: format}
			tell := func(r managedfile.Report) (code int, stdout, stderr string) {
				var out, errs bytes.Buffer
				code = cli.PrintError(printRestored(o, &out, r, nil), &errs)
				return code, out.String(), errs.String()
			}
			if code, _, stderr := tell(report); code != cli.ExitDone || stderr != "" {
				t.Errorf("all put back: exit code %d, %s", code, stderr)
			}
			unfinished := report
			unfinished.Skipped = []managedfile.Change{skipped}
			code, stdout, stderr := tell(unfinished)
			if code != cli.ExitFailed || !strings.Contains(stderr, "files not restored: 1 (listed above)") || !strings.Contains(stderr, "run again") {
				t.Errorf("exit code %d, %s", code, stderr)
			}
			if !strings.Contains(stdout, skipped.Path) || !strings.Contains(stdout, skipped.Reason) || strings.Contains(stdout, "put back as before") {
				t.Errorf("printed %s", stdout)
			}
		})
	}
}
