package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"time"
)

// versionTimeout is how long "containerd --version" may take.
const versionTimeout = 10 * time.Second

// AskVersion runs "binary --version", with an empty environment and for at most ten seconds,
// and returns its output.
func AskVersion(ctx context.Context, binary string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, versionTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, "--version")
	cmd.Env = []string{}
	cmd.WaitDelay = time.Second
	var out bytes.Buffer
	cmd.Stdout = &limitedWriter{&out, 4 << 10}
	if err := cmd.Run(); err != nil {
		return "", errors.Join(err, ctx.Err())
	}
	return out.String(), nil
}

// limitedWriter writes up to left bytes and fails after that.
type limitedWriter struct {
	to   *bytes.Buffer
	left int
}

func (l *limitedWriter) Write(p []byte) (int, error) {
	if len(p) > l.left {
		return 0, fmt.Errorf("output is too long for a version")
	}
	l.left -= len(p)
	return l.to.Write(p)
}
