// Peak runs the program that its arguments name and writes how much memory it
// had at most, in KiB, to file descriptor 3.
//
// A program that is started inherits the peak of the process that starts it
// (Linux keeps the larger one over execve), so that process has to be smaller
// than everything it measures: hence this one, and nothing but system calls.
package main

import (
	"os"
	"strconv"
	"syscall"
)

func main() {
	const report = 3
	syscall.CloseOnExec(report)
	pid, err := syscall.ForkExec(os.Args[1], os.Args[1:], &syscall.ProcAttr{
		Env:   syscall.Environ(),
		Files: []uintptr{0, 1, 2},
	})
	if err != nil {
		os.Exit(127)
	}
	var status syscall.WaitStatus
	var usage syscall.Rusage
	for {
		_, err = syscall.Wait4(pid, &status, 0, &usage)
		if err != syscall.EINTR {
			break
		}
	}
	if err != nil || !status.Exited() {
		os.Exit(126)
	}
	if _, err := syscall.Write(report, []byte(strconv.FormatInt(usage.Maxrss, 10))); err != nil {
		os.Exit(125)
	}
	os.Exit(status.ExitStatus())
}
