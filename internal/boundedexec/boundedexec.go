// Package boundedexec runs a foreign program with bounds on its time, its output and its children.
//
// It promises that Run returns soon after the time limit, that it keeps no more output than allowed,
// and that no process of the program's group is left. The program's stderr goes to nothing. Start
// reading at [Run].
package boundedexec

import (
	"bytes"
	"context"
	"errors"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"
)

// pipeLimit is how long a child that the program left behind may hold its output open.
const pipeLimit = 500 * time.Millisecond

// ErrOutput means that the program printed too much.
var ErrOutput = errors.New("too much output")

// Command is a program with its bounds.
type Command struct {
	Path string // as of [exec.Command]
	Args []string
	Env  []string // nil: this process's own
	// Stdin is the whole input; nil for none. A program that does not read it is no error.
	Stdin []byte
	Limit time.Duration
	// MaxOutput is in bytes.
	MaxOutput int
}

// Run runs c in a process group of its own and returns what it printed on stdout. The error is
// [ErrOutput], that of ctx or of the time limit, an *[exec.ExitError] together with the output, or
// that of the start. No error quotes the output.
func Run(ctx context.Context, c Command) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, c.Limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, c.Path, c.Args...)
	cmd.Env = c.Env
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	kill := func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.Cancel, cmd.WaitDelay = kill, pipeLimit
	if c.Stdin != nil {
		cmd.Stdin = bytes.NewReader(c.Stdin)
	}
	out := &boundedOutput{max: c.MaxOutput, cancel: cancel}
	cmd.Stdout = out
	err := cmd.Run()
	if cmd.Process != nil {
		// Children that it left in the background. The error means that there are none.
		_ = kill()
	}
	switch {
	case out.full:
		return nil, ErrOutput
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case errors.Is(err, exec.ErrWaitDelay):
		return out.kept.Bytes(), nil // it ended well; only a child held the pipe
	}
	return out.kept.Bytes(), err
}

// boundedOutput keeps the first bytes of an output and ends the process that prints more.
type boundedOutput struct {
	kept   bytes.Buffer
	max    int
	full   bool
	cancel func()
}

// Write implements [io.Writer].
func (b *boundedOutput) Write(p []byte) (int, error) {
	if b.kept.Len()+len(p) > b.max {
		b.full = true
		b.cancel()
		return 0, ErrOutput
	}
	return b.kept.Write(p)
}

// AWSKeys are the variables that hold keys of AWS: they are not for foreign programs.
func AWSKeys() []string {
	return []string{
		"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN",
	}
}

// Without returns an environment without the variables of these names.
func Without(environ, names []string) []string {
	var kept []string
	for _, variable := range environ {
		name, _, _ := strings.Cut(variable, "=")
		if !slices.Contains(names, name) {
			kept = append(kept, variable)
		}
	}
	return kept
}
