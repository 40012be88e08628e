package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
)

// Exit codes. Those of plan are like those of kubectl diff: 1 for differences, 2 for a failure.
const (
	ExitDone   = 0
	ExitFailed = 1
	ExitUsage  = 2
)

// ExitError carries an exit code. If Err is nil, the cause has been printed already.
type ExitError struct {
	Code int
	Err  error
}

func (e *ExitError) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("exit code %d", e.Code)
	}
	return e.Err.Error()
}

func (e *ExitError) Unwrap() error { return e.Err }

// Usage marks a mistake on the command line.
func Usage(err error) error {
	if err == nil {
		return nil
	}
	return &ExitError{Code: ExitUsage, Err: err}
}

// ErrInterrupted replaces the errors that a signal caused.
var ErrInterrupted = errors.New("interrupted; completed steps are consistent, it is safe to run again")

// interrupted is err after a signal: the errors of the steps that it stopped become one line. Other
// errors stay.
func interrupted(err error) error {
	if !errors.Is(err, context.Canceled) {
		return err
	}
	var others []string
	for line := range strings.Lines(err.Error()) {
		if line = strings.TrimSuffix(line, "\n"); !strings.Contains(line, context.Canceled.Error()) {
			others = append(others, line)
		}
	}
	told := ErrInterrupted
	if len(others) > 0 {
		told = fmt.Errorf("%s\n%w", strings.Join(others, "\n"), ErrInterrupted)
	}
	if c, ok := errors.AsType[*ExitError](err); ok {
		return &ExitError{Code: c.Code, Err: told}
	}
	return told
}

// PrintError prints an error, one line for each problem, and returns the exit code.
func PrintError(err error, stderr io.Writer) int {
	if err == nil {
		return ExitDone
	}
	code := ExitFailed
	if c, ok := errors.AsType[*ExitError](err); ok {
		code = c.Code
		if c.Err == nil {
			return code
		}
	}
	for line := range strings.Lines(err.Error()) {
		fmt.Fprintf(stderr, "berth: %s\n", strings.TrimSuffix(line, "\n"))
	}
	if errors.Is(err, fs.ErrPermission) && os.Geteuid() != 0 {
		fmt.Fprintln(stderr, "berth: the files of a node belong to root; run it as root, or try it with --root")
	}
	return code
}
