// Package e2e pulls images through the CRI of real containerd daemons with the hosts.toml files
// that Berth wrote, from real registries, past decoys that stand for the Internet. It needs root
// and the programs that cmd/parts provides.
package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/berth-registry/berth/internal/containerdconf"
	"github.com/berth-registry/berth/test/e2e/containerd"
	"github.com/berth-registry/berth/test/e2e/parts"
	"github.com/berth-registry/berth/test/fakes/upstream"
	"github.com/berth-registry/berth/test/gobuild"
	"github.com/berth-registry/berth/test/pki"
)

// sandboxImage is the pod sandbox image of every daemon.
const sandboxImage = "registry.k8s.io/pause:e2e"

// certsDir is the directory of hosts.toml files below the root that berth is given.
const certsDir = "etc/containerd/certs.d"

// daemonFixture is one containerd that runs through all scenarios of a table. No scenario restarts it.
type daemonFixture struct {
	parts parts.Set
	berth string // the berth binary, "" for tests that write hosts.toml themselves
	// provider is the credential provider, "" for tests that do not ask it.
	provider string
	pause    string // a static binary for the sandbox image
	daemon   *containerd.Daemon
	proxy    *upstream.Proxy
	root     string // berth's --root
	release  containerdconf.Release
	older    bool // containerd 1.x
}

// scenario is one row of a table.
type scenario struct {
	name string
	run  func(*fixture)
}

// programs are the programs that a table needs besides the parts.
type programs struct {
	berth, provider string
}

// onEachContainerd runs the scenarios in order on a daemon of each version, the versions in
// parallel.
func onEachContainerd(t *testing.T, p programs, scenarios []scenario) {
	set, err := parts.Locate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() != 0 {
		t.Fatal("containerd needs root: run make e2e as root")
	}
	pause := goBuild(t, "./test/sample/pause")
	for _, v := range variants(set) {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			b := newDaemonFixture(t, set, v)
			b.berth, b.provider, b.pause = p.berth, p.provider, pause
			before := b.identity(t)
			for _, row := range scenarios {
				t.Run(row.name, func(t *testing.T) { row.run(newFixture(t, b)) })
			}
			if after := b.identity(t); after != before {
				t.Errorf("containerd was restarted: it was %s, now it is %s", before, after)
			}
		})
	}
}

// variant is one way in which a containerd pulls.
type variant struct {
	name      string
	program   parts.Containerd
	localPull bool
}

// variants returns every version. Since 2.1 containerd has two implementations of a pull; a setting
// of the node selects one (on EKS: the local one).
func variants(set parts.Set) []variant {
	var all []variant
	for _, program := range set.Containerd {
		all = append(all, variant{name: program.Version, program: program})
		if release, _ := containerdconf.ParseRelease(program.Version); release.AtLeast(2, 1, 0) {
			all = append(all, variant{name: program.Version + "-local-pull", program: program, localPull: true})
		}
	}
	return all
}

func newDaemonFixture(t *testing.T, set parts.Set, v variant) *daemonFixture {
	t.Helper()
	ca, err := pki.New("the Internet of the e2e tests")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	trusted := filepath.Join(dir, "roots.pem")
	if err := os.WriteFile(trusted, ca.PEM(), 0o644); err != nil {
		t.Fatal(err)
	}
	proxy, err := upstream.NewProxy(ca)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { must(t, proxy.Close()) })
	root := filepath.Join(dir, "root")
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	daemon, err := containerd.Start(ctx, v.program, containerd.Options{
		CertsDir:     filepath.Join(root, certsDir),
		SandboxImage: sandboxImage,
		Runc:         set.Runc,
		LocalPull:    v.localPull,
		// It trusts the decoys' authority alone.
		Env: append(proxy.Env(), "SSL_CERT_FILE="+trusted, "SSL_CERT_DIR="+filepath.Join(dir, "none")),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { must(t, daemon.Close()) })
	release, ok := containerdconf.ParseRelease(v.program.Version)
	if !ok {
		t.Fatalf("release %q", v.program.Version)
	}
	return &daemonFixture{
		parts: set, daemon: daemon, proxy: proxy, root: root,
		release: release, older: !release.AtLeast(2, 0, 0),
	}
}

func (b *daemonFixture) identity(t *testing.T) string {
	t.Helper()
	id, err := b.daemon.Identity()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// goBuild builds a package of the main module and returns the program.
func goBuild(t *testing.T, pkg string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), filepath.Base(pkg))
	if err := gobuild.Programs(t.Context(), filepath.Join("..", ".."), out, pkg); err != nil {
		t.Fatal(err)
	}
	return out
}

// berthBinary returns $BERTH_BIN, or berth built from this checkout.
func berthBinary(t *testing.T) string {
	t.Helper()
	path := os.Getenv("BERTH_BIN")
	if path == "" {
		return goBuild(t, "./cmd/berth")
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return abs
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}

// indent formats a multi-line text for a test's message.
func indent(text string) string {
	return fmt.Sprintf("\t%s", strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n\t"))
}
