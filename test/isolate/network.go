package isolate

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// Network runs do in a new network namespace, which setup, the input of "ip -batch", prepares: at
// first it has no address and no route. A socket that do opens and a process that it starts stay in
// there; the kernel removes the namespace with the last of them. It needs root and iproute2.
func Network(setup string, do func() error) error {
	runtime.LockOSThread()
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		runtime.UnlockOSThread()
		return err
	}
	defer home.Close()
	if err = unix.Unshare(unix.CLONE_NEWNET); err != nil {
		err = fmt.Errorf("a new network namespace: %w", err)
	} else if err = ip(setup); err == nil {
		err = do()
	}
	// The thread returns to its old namespace: if it ended, a daemon would get its death signal,
	// which depends on the thread that started it.
	if back := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); back != nil {
		// The thread stays locked, so that no other goroutine runs in there.
		return errors.Join(err, fmt.Errorf("back to the network namespace: %w", back))
	}
	runtime.UnlockOSThread()
	return err
}

func ip(batch string) error {
	ip := exec.Command("ip", "-batch", "-")
	ip.Stdin = strings.NewReader(batch)
	if out, err := ip.CombinedOutput(); err != nil {
		return fmt.Errorf("ip of iproute2 in a new network namespace: %w: %s", err, out)
	}
	return nil
}
