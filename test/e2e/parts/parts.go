// Package parts finds the real programs that the end-to-end tests run, and builds those that Debian
// does not have.
//
// containerd 1.6.20, runc and docker-registry are Debian's packages; other releases of containerd
// are compiled from their own modules into a cache directory outside the checkout. [Locate] only
// searches, so that a test never compiles for minutes; [Provide] also builds. cmd/parts is the
// command for it.
package parts

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// The versions that the tests are written against.
const (
	Containerd1Version  = "1.6.20"
	Containerd17Version = "1.7.28"
	Containerd2Version  = "2.4.2"
)

// debianPackages are the packages that hold containerd 1.6.20, runc and
// docker-registry on Debian 12.
var debianPackages = []string{"containerd", "runc", "docker-registry"}

// installCommand installs the Debian packages.
func installCommand() string {
	return "apt-get install -y --no-install-recommends " + strings.Join(debianPackages, " ")
}

// Containerd is one version of containerd on this machine.
type Containerd struct {
	Version string // 1.6.20, without a leading v
	Daemon  string // absolute path of the containerd binary
	BinDir  string // directory that holds its containerd-shim-runc-v2
}

// Set holds the real programs that the tests use.
type Set struct {
	Containerd []Containerd // those of $BERTH_RELEASES, or 1.6.20, 1.7.28 and 2.4.2
	Between    Containerd   // 1.7.28
	Registry   string       // docker-registry
	Runc       string
}

// MissingError reports a part that is missing on this machine, and the command to run.
type MissingError struct {
	Part string
	Run  string
}

func (e *MissingError) Error() string {
	return fmt.Sprintf("%s is missing: run %s", e.Part, e.Run)
}

// Locate returns the parts without building anything. $BERTH_RELEASES selects other releases of
// containerd than those of CI: versions, separated by commas, or "all". Each missing part adds a
// [*MissingError] to the joined error.
func Locate(ctx context.Context) (Set, error) {
	set, errPackages := locatePackages(ctx)
	versions, errSelected := selected()
	errs := []error{errPackages, errSelected}
	for _, version := range versions {
		found, err := locateContainerd(ctx, version)
		errs = append(errs, err)
		set.Containerd = append(set.Containerd, found)
	}
	var err error
	set.Between, err = line1(Containerd17Version).locate()
	return set, errors.Join(append(errs, err)...)
}

func locateContainerd(ctx context.Context, version string) (Containerd, error) {
	for _, r := range builtReleases() {
		if r.version == version {
			return r.locate()
		}
	}
	return locateContainerd1(ctx)
}

// locatePackages returns the parts that are Debian's, but for containerd, which it only looks for.
func locatePackages(ctx context.Context) (Set, error) {
	_, err1 := locateContainerd1(ctx)
	registry, err2 := lookDebian("docker-registry")
	runc, err3 := lookDebian("runc")
	return Set{Registry: registry, Runc: runc}, errors.Join(err1, err2, err3)
}

func locateContainerd1(ctx context.Context) (Containerd, error) {
	daemon, err := lookDebian("containerd")
	if err != nil {
		return Containerd{}, err
	}
	out, err := exec.CommandContext(ctx, daemon, "--version").CombinedOutput()
	if err != nil {
		return Containerd{}, fmt.Errorf("%s --version: %w: %s", daemon, err, out)
	}
	// "containerd github.com/containerd/containerd 1.6.20~ds1 1.6.20~ds1-1+deb12u3"
	fields := strings.Fields(string(out))
	if len(fields) < 3 || !strings.HasPrefix(strings.TrimPrefix(fields[2], "v"), Containerd1Version) {
		return Containerd{}, fmt.Errorf("%s is %q, the tests need Debian 12's containerd %s", daemon, strings.TrimSpace(string(out)), Containerd1Version)
	}
	shim, err := lookDebian("containerd-shim-runc-v2")
	if err != nil {
		return Containerd{}, err
	}
	return Containerd{Version: Containerd1Version, Daemon: daemon, BinDir: filepath.Dir(shim)}, nil
}

// lookDebian searches only the directories of Debian's packages: a newer containerd in
// /usr/local/bin is not the version to test.
func lookDebian(name string) (string, error) {
	for _, dir := range []string{"/usr/bin", "/usr/sbin"} {
		p := filepath.Join(dir, name)
		if info, err := os.Stat(p); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return p, nil
		}
	}
	return "", &MissingError{Part: name, Run: installCommand()}
}

// locate finds a release that is built.
func (r release) locate() (Containerd, error) {
	dir, err := r.dir()
	if err != nil {
		return Containerd{}, err
	}
	if !r.complete(dir) {
		return Containerd{}, &MissingError{
			Part: "containerd " + r.version + " in " + dir,
			Run:  "BERTH_RELEASES=" + r.version + " go run ./cmd/parts in test/e2e",
		}
	}
	return Containerd{Version: r.version, Daemon: filepath.Join(dir, "containerd"), BinDir: dir}, nil
}
