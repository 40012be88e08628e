package doctor_test

import (
	"context"
	"strings"
	"testing"

	"github.com/berth-registry/berth/node/doctor"
)

// A hosts.toml is judged as the running release reads it; if the release is unknown, as each
// release does.
func TestReleaseThatRuns(t *testing.T) {
	const (
		certs   = "-- root/etc/containerd/certs.d/quay.io/hosts.toml --\n"
		bom     = certs + "\ufeff[host.\"https://a\"]\n"
		plain   = certs + "[host]\nnote = 1\n[host.\"https://a\"]\n"
		noTable = certs + "server = \"https://a\"\n"
	)
	for name, c := range map[string]struct {
		file, version string // "" is unknown
		level         doctor.Level
		says          string
	}{
		"read by 1.7":        {bom, "containerd v1.7.28", doctor.OK, "reads every directory below /etc/containerd/certs.d (1)"},
		"passed over by 2.4": {bom, "containerd v2.4.2", doctor.Fail, "ignores hosts.toml"},
		"not known":          {bom, "", doctor.Warn, "containerd 1.6 to 1.7 asks https://a/v2, https://quay.io/v2; containerd 2.0.0 and later ignores the file"},
		"alike for all":      {certs + "[host.\"https://a\"]\n", "", doctor.OK, "reads every directory"},
		"crash of 1.7":       {plain, "containerd v1.7.28", doctor.Fail, "at each pull from quay.io, containerd crashes"},
		"crash not known":    {plain, "", doctor.Warn, "containerd 1.6 to 1.7 crashes at the pull; containerd 2.0.0 and later ignores the file"},
		"no table, 1.7.28":   {noTable, "containerd v1.7.28", doctor.Fail, "it has no [host] table"},
		"no table, 1.7.32":   {noTable, "containerd v1.7.32", doctor.OK, "reads every directory"},
	} {
		t.Run(name, func(t *testing.T) {
			p := bed(t, running+c.file)
			if c.version != "" {
				p.Machine.Version = func(context.Context, string) (string, error) { return c.version, nil }
			}
			found := find(doctor.Examine(t.Context(), p), "hosts")
			if len(found) != 1 || found[0].Level != c.level || !strings.Contains(found[0].Detail, c.says) {
				t.Errorf("%+v, want one %s with %q", found, c.level, c.says)
			}
		})
	}
}
