package e2e

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/berth-registry/berth/test/e2e/containerd"
	"github.com/berth-registry/berth/test/e2e/parts"
)

// TestTraceConfigPath compares berth trace with daemons whose config_path lists two directories,
// which pulls through the transfer service ignore, or is empty.
func TestTraceConfigPath(t *testing.T) {
	set, err := parts.Locate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	berth := berthBinary(t)
	mirrored := func(s *traced) { s.hosts("docker.io", hostTables(s.url())) }
	for _, v := range variants(set) {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			b := newDaemonFixture(t, set, v)
			b.berth = berth
			list := traceRow{"list", mirrored, "hub", "mirror before 2.1"}
			if v.localPull {
				list.want = "mirror"
			}
			for certs, row := range map[string]traceRow{
				filepath.Join(b.root, certsDir) + ":" + filepath.Join(b.root, "second"): list,
				"": {"unset", mirrored, "hub", "hub"},
			} {
				t.Run(row.name, func(t *testing.T) {
					other := *b
					other.daemon = anotherDaemon(t, b, v, certs)
					agree(newFixture(t, &other), row)
				})
			}
		})
	}
}

// anotherDaemon starts a containerd with another config_path beside the others.
func anotherDaemon(t *testing.T, b *daemonFixture, v variant, certs string) *containerd.Daemon {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	d, err := containerd.Start(ctx, v.program, containerd.Options{
		CertsDir: certs, SandboxImage: sandboxImage, Runc: b.parts.Runc, LocalPull: v.localPull,
		Env: append(b.proxy.Env(), "SSL_CERT_FILE="+filepath.Join(filepath.Dir(b.root), "roots.pem"), "SSL_CERT_DIR="+filepath.Join(filepath.Dir(b.root), "none")),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { must(t, d.Close()) })
	return d
}
