package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials/processcreds"

	"github.com/berth-registry/berth/credprovider/ecr"
)

const (
	processLimit = 10 * time.Second // of one run
	processMax   = 64 << 10         // bytes of its output; usual are 2,000
	// pipeLimit is how long a child that the process left behind may hold its output open.
	pipeLimit = 500 * time.Millisecond
)

// process runs a credential_process:
// https://docs.aws.amazon.com/sdkref/latest/guide/feature-process-credentials.html
//
// The SDK's own runner is not used: it bounds neither the output nor the children, passes stdin and
// stderr on, and quotes the output in its errors.
func (c *Client) process(ctx context.Context, command string) (aws.Credentials, error) {
	const op = "run the credential_process"
	fail := func(o ecr.Outcome, format string, args ...any) (aws.Credentials, error) {
		return aws.Credentials{}, &ecr.Error{Outcome: o, Op: op, Err: fmt.Errorf(format, args...)}
	}
	out, err := runBounded(ctx, command, c.processLimit)
	var exit *exec.ExitError
	switch {
	case errors.Is(err, errOutput):
		return fail(ecr.Busy, "it printed more than %d bytes", processMax)
	case errors.Is(err, context.DeadlineExceeded):
		return fail(ecr.Busy, "it did not end in time (%s)", c.processLimit)
	case errors.Is(err, context.Canceled):
		return fail(ecr.Busy, "it was interrupted")
	case errors.As(err, &exit) && (exit.ExitCode() == 126 || exit.ExitCode() == 127):
		return fail(ecr.NoKeys, "the shell cannot start it (exit status %d)", exit.ExitCode())
	case errors.As(err, &exit):
		return fail(ecr.Busy, "it failed (%s); run it by hand to see its output", exit.ProcessState)
	case err != nil:
		return fail(ecr.NoKeys, "the shell cannot be started")
	}
	var answer processcreds.CredentialProcessResponse
	switch {
	case json.Unmarshal(out, &answer) != nil:
		return fail(ecr.Busy, "its output is no JSON")
	case answer.Version != 1:
		return fail(ecr.Busy, "its output has not the version 1")
	case answer.Expiration != nil && !answer.Expiration.After(c.now()):
		return fail(ecr.Rejected, "it gave credentials that have expired")
	}
	k, err := received(op, &answer.AccessKeyID, &answer.SecretAccessKey, &answer.SessionToken)
	if err != nil {
		return fail(ecr.Busy, "its output holds no keys")
	}
	return k, nil
}

// errOutput means that a process printed too much.
var errOutput = errors.New("too much output")

// runBounded runs a command of the shell in a process group of its own, without input, and returns
// what it printed. No process of the group is left when it returns.
func runBounded(ctx context.Context, command string, limit time.Duration) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", command)
	cmd.Env = withoutKeys(os.Environ())
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	kill := func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.Cancel, cmd.WaitDelay = kill, pipeLimit
	out := &boundedOutput{cancel: cancel}
	cmd.Stdout = out
	err := cmd.Run()
	if cmd.Process != nil {
		// Children that it left in the background. The error means that there are none.
		_ = kill()
	}
	switch {
	case out.full:
		return nil, errOutput
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
	full   bool
	cancel func()
}

// Write implements [io.Writer].
func (b *boundedOutput) Write(p []byte) (int, error) {
	if b.kept.Len()+len(p) > processMax {
		b.full = true
		b.cancel()
		return 0, errOutput
	}
	return b.kept.Write(p)
}

// withoutKeys returns an environment without AWS keys: a process that gives credentials needs none.
func withoutKeys(environ []string) []string {
	var kept []string
	for _, variable := range environ {
		switch name, _, _ := strings.Cut(variable, "="); name {
		case "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN":
		default:
			kept = append(kept, variable)
		}
	}
	return kept
}
