package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
)

// Exit codes. plan is special, as kubectl diff is: 1 says that there are
// differences, 2 that something failed.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

// codeError gives an exit code. A nil err has been told already.
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

// exitCode prints an error, one line a problem, and gives the exit code.
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
