// Package isolate starts programs in mount and process namespaces of their own.
package isolate

import (
	"os/exec"
	"syscall"
)

// Command returns a command that runs script with sh, with args as its parameters, in a new mount
// namespace, whose mounts the machine does not see, and a new process namespace. When the command
// ends, or this process, the kernel ends all processes in it. The command is unshare(1), which does
// not forward signals; the script is its only child. It needs root.
func Command(script string, args ...string) *exec.Cmd {
	cmd := exec.Command("unshare", append([]string{
		"--mount", "--pid", "--fork", "--mount-proc", "--kill-child=KILL", "--propagation", "private",
		"sh", "-c", script, "sh",
	}, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}
