package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials/processcreds"

	"github.com/berth-registry/berth/credprovider/ecr"
	"github.com/berth-registry/berth/internal/boundedexec"
)

const (
	processLimit = 10 * time.Second // of one run
	processMax   = 64 << 10         // bytes of its output; usual are 2,000
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
	out, err := boundedexec.Run(ctx, boundedexec.Command{
		// A process that gives credentials needs no keys.
		Path: "sh", Args: []string{"-c", command}, Env: boundedexec.Without(os.Environ(), boundedexec.AWSKeys()),
		Limit: c.processLimit, MaxOutput: processMax,
	})
	var exit *exec.ExitError
	switch {
	case errors.Is(err, boundedexec.ErrOutput):
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
