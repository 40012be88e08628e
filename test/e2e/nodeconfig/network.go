package nodeconfig

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// alone runs do in a new, isolated network namespace: some shapes name ports, and in there every
// port is free. A socket that do opens and a process that it starts stay there; the kernel removes
// the namespace with the last of them.
func alone(do func() error) error {
	runtime.LockOSThread()
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		runtime.UnlockOSThread()
		return err
	}
	defer home.Close()
	if err = unix.Unshare(unix.CLONE_NEWNET); err != nil {
		err = fmt.Errorf("a new network namespace: %w", err)
	} else if err = setUp(); err == nil {
		err = do()
	}
	// The thread returns to its old namespace: if it ended, the daemon would get its death signal,
	// which depends on the thread that started it.
	if back := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); back != nil {
		// The thread stays locked, so that no other goroutine runs in there.
		return errors.Join(err, fmt.Errorf("back to the network namespace: %w", back))
	}
	runtime.UnlockOSThread()
	return err
}

// interfaces gives the namespace 127.0.0.1, and an address with a default route, for shapes in
// which containerd chooses the address for streams.
const interfaces = `link set lo up
address add 192.0.2.1/32 dev lo
route add default dev lo
`

func setUp() error {
	ip := exec.Command("ip", "-batch", "-")
	ip.Stdin = strings.NewReader(interfaces)
	if out, err := ip.CombinedOutput(); err != nil {
		return fmt.Errorf("ip of iproute2 in a new network namespace: %w: %s", err, out)
	}
	return nil
}
