// Package network gives a machine of the test its own network, so that two machines can use the
// same port of 127.0.0.1: a namespace with a loopback and nothing else. Servers on this machine's
// loopback are reachable from it where [Namespace.Forward] says so; nothing else is, in particular
// not the Internet.
//
// It has no name and no file: the kernel removes it when this process and all processes in it have
// ended.
package network

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"
)

// threadNamespace is the namespace of the thread that opens it.
const threadNamespace = "/proc/thread-self/ns/net"

// Namespace is a network namespace.
type Namespace struct {
	file  *os.File // keeps it while no process is in it
	tasks sync.WaitGroup

	mu     sync.Mutex
	open   map[io.Closer]struct{} // listeners and connections
	closed bool
}

// New makes a namespace whose loopback has an address beside 127.0.0.1, for programs that refuse
// that one, such as a node of Kubernetes. It needs root, and ip of iproute2. The caller must call
// Close.
func New(address netip.Addr) (*Namespace, error) {
	n := &Namespace{open: map[io.Closer]struct{}{}}
	enter := func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("a new network namespace: %w", err)
		}
		return nil
	}
	err := within(enter, func() error {
		var err error
		if n.file, err = os.Open(threadNamespace); err != nil {
			return err
		}
		for _, args := range [][]string{
			{"link", "set", "lo", "up"},
			{"address", "add", address.String(), "dev", "lo"},
		} {
			if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
				return fmt.Errorf("ip %q: %w: %s", args, err, out)
			}
		}
		return nil
	})
	if err != nil {
		if n.file != nil {
			err = errors.Join(err, n.file.Close())
		}
		return nil, err
	}
	return n, nil
}

// Path returns a path of the namespace for other processes, valid until Close.
func (n *Namespace) Path() string { return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), n.file.Fd()) }

// inside runs do in the namespace. A socket belongs to the namespace in which it was made.
func (n *Namespace) inside(do func() error) error {
	enter := func() error {
		if err := unix.Setns(int(n.file.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("entering the network namespace: %w", err)
		}
		return nil
	}
	return within(enter, do)
}

// within runs do on a thread that has entered another network namespace. The thread returns
// afterwards: if it ended, programs that it has started and that end with their parent would end
// now.
func within(enter, do func() error) error {
	runtime.LockOSThread()
	home, err := os.Open(threadNamespace)
	if err != nil {
		runtime.UnlockOSThread()
		return err
	}
	defer home.Close()
	err = enter()
	if err == nil {
		err = do()
	}
	if back := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); back != nil {
		// The thread stays locked: no other goroutine may run in there.
		return errors.Join(err, fmt.Errorf("back to the network namespace: %w", back))
	}
	runtime.UnlockOSThread()
	return err
}

// Close ends the forwarding and releases the namespace.
func (n *Namespace) Close() error {
	n.mu.Lock()
	n.closed = true
	for c := range n.open {
		_ = c.Close() // one that has been closed already
	}
	n.mu.Unlock()
	n.tasks.Wait()
	return n.file.Close()
}
