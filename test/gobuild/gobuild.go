// Package gobuild builds the programs that tests and trials run.
package gobuild

import (
	"context"
	"fmt"
	"os"
	"os/exec"
)

// Programs builds the packages pkgs, named as seen from the directory dir, and writes the programs
// to out: a file, or a directory if it ends in a slash. The flags are those of "make build" but for
// the version, so that both share the build cache.
func Programs(ctx context.Context, dir, out string, pkgs ...string) error {
	args := append([]string{"build", "-buildvcs=false", "-trimpath", "-ldflags", "-s -w", "-o", out}, pkgs...)
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build %v: %w\n%s", pkgs, err, output)
	}
	return nil
}
