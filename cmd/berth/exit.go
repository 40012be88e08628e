package main

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
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

// codeError carries an exit code. If err is nil, the cause has been printed already.
type codeError struct {
	code int
	err  error
}

func (e *codeError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e *codeError) Unwrap() error { return e.err }

// usage marks a mistake on the command line.
func usage(err error) error {
	if err == nil {
		return nil
	}
	return &codeError{exitUsage, err}
}

// errInterrupted replaces the errors that a signal caused.
var errInterrupted = errors.New("interrupted; completed steps are consistent, it is safe to run again")

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
	told := errInterrupted
	if len(others) > 0 {
		told = fmt.Errorf("%s\n%w", strings.Join(others, "\n"), errInterrupted)
	}
	if c, ok := errors.AsType[*codeError](err); ok {
		return &codeError{c.code, told}
	}
	return told
}

// exitCode prints an error, one line for each problem, and returns the exit code.
func exitCode(err error, stderr io.Writer) int {
	if err == nil {
		return exitDone
	}
	code := exitFailed
	if c, ok := errors.AsType[*codeError](err); ok {
		code = c.code
		if c.err == nil {
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
