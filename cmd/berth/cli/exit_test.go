package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
)

func TestInterrupted(t *testing.T) {
	stopped := fmt.Errorf("/etc/x: %w", context.Canceled)
	other := errors.New("disk full")
	told := ErrInterrupted.Error()
	for _, c := range []struct {
		err  error
		want string
		code int
	}{
		{nil, "", ExitDone},
		{other, "berth: disk full\n", ExitFailed},
		{context.Canceled, "berth: " + told + "\n", ExitFailed},
		{errors.Join(stopped, fmt.Errorf("/etc/y: %w", context.Canceled)), "berth: " + told + "\n", ExitFailed},
		{errors.Join(stopped, other), "berth: disk full\nberth: " + told + "\n", ExitFailed},
		{&ExitError{Code: ExitUsage, Err: stopped}, "berth: " + told + "\n", ExitUsage},
	} {
		var stderr bytes.Buffer
		if code := PrintError(interrupted(c.err), &stderr); code != c.code || stderr.String() != c.want {
			t.Errorf("%v: exit code %d, %q", c.err, code, &stderr)
		}
	}
}
