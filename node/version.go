package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"time"
)

// versionTimeout is how long containerd may take to print its version.
const versionTimeout = 10 * time.Second

// AskVersion runs "binary --version" with an empty environment, for ten seconds at most, and
// returns its output.
func AskVersion(ctx context.Context, binary string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, versionTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, "--version")
	cmd.Env = []string{}
	cmd.WaitDelay = time.Second
	var out bytes.Buffer
	cmd.Stdout = &limited{&out, 4 << 10}
	if err := cmd.Run(); err != nil {
		return "", errors.Join(err, ctx.Err())
	}
	return out.String(), nil
}

// limited holds a few bytes and refuses more.
type limited struct {
	to   *bytes.Buffer
	left int
}

func (l *limited) Write(p []byte) (int, error) {
	if len(p) > l.left {
		return 0, fmt.Errorf("more than a version was printed")
	}
	l.left -= len(p)
	return l.to.Write(p)
}
