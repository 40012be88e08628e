package cluster

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
)

// programs are the programs that parts.sh here and in test/kubelet have built.
type programs struct {
	kubelet    string
	kubernetes string // directory
	helm       string
}

// locate returns the programs, or an error if one is missing: a test must not compile for minutes.
func locate(ctx context.Context) (programs, error) {
	ours, err := list(ctx, "./parts.sh")
	if err != nil {
		return programs{}, err
	}
	kubelet, err := list(ctx, filepath.Join("..", "kubelet", "parts.sh"), "kubelet")
	if err != nil {
		return programs{}, err
	}
	return programs{
		kubelet:    kubelet["kubelet"],
		kubernetes: ours["kubernetes"],
		helm:       filepath.Join(ours["helm"], "helm"),
	}, nil
}

// list runs a script that prints parts, one a line: name, version, path.
func list(ctx context.Context, script string, args ...string) (map[string]string, error) {
	cmd := exec.CommandContext(ctx, script, append([]string{"-n"}, args...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", script, err, &stderr)
	}
	found := map[string]string{}
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		if len(f) != 3 {
			return nil, fmt.Errorf("%s says %q", script, line)
		}
		found[f[0]] = f[2]
	}
	return found, nil
}
