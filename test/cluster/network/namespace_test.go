package network

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var address = netip.MustParseAddr("10.99.0.1")

// TestForward: the same address leads to the same server from inside, and an address that was not
// forwarded is unreachable.
func TestForward(t *testing.T) {
	n := newNamespace(t)
	forwarded, other := echo(t), echo(t)
	if err := n.Forward(forwarded); err != nil {
		t.Fatal(err)
	}
	for _, server := range []string{forwarded, other} {
		if said, err := say(server, "outside"); err != nil || said != "outside" {
			t.Fatalf("%s is not there at all: %q, %v", server, said, err)
		}
	}
	err := n.inside(func() error {
		said, err := say(forwarded, "hello")
		if err != nil || said != "hello" {
			t.Errorf("from inside: %q, %v", said, err)
		}
		if _, err := say(other, "hello"); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("what was not forwarded: %v", err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestAlone: the namespace has the loopback with its two addresses, and no thread of this process
// stays inside.
func TestAlone(t *testing.T) {
	before := namespaces(t)
	n := newNamespace(t)
	var own []string
	err := n.inside(func() error {
		all, err := net.InterfaceAddrs()
		for _, a := range all {
			if prefix, err := netip.ParsePrefix(a.String()); err == nil && prefix.Addr().Is4() {
				own = append(own, prefix.Addr().String())
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if slices.Sort(own); !slices.Equal(own, []string{address.String(), "127.0.0.1"}) {
		t.Errorf("it has the addresses %q", own)
	}
	if err := n.inside(func() error { return os.ErrInvalid }); !errors.Is(err, os.ErrInvalid) {
		t.Errorf("the error was lost: %v", err)
	}
	if after := namespaces(t); !slices.Equal(before, after) {
		t.Errorf("threads are in %q, and were in %q", after, before)
	}
}

// TestClose: Close ends open connections.
func TestClose(t *testing.T) {
	n, err := New(address)
	if err != nil {
		t.Fatal(err)
	}
	server := echo(t)
	var conn net.Conn
	err = errors.Join(n.Forward(server), n.inside(func() error {
		conn, err = net.Dial("tcp", server)
		return err
	}))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(conn); err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Error(err)
	}
}

func newNamespace(t *testing.T) *Namespace {
	t.Helper()
	n, err := New(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

// echo starts a server that sends back its input after the end of the input.
func echo(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			if said, err := io.ReadAll(conn); err == nil {
				_, _ = conn.Write(said)
			}
			conn.Close()
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-done
	})
	return l.Addr().String()
}

func say(server, word string) (string, error) {
	conn, err := net.Dial("tcp", server)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, word); err != nil {
		return "", err
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		return "", err
	}
	said, err := io.ReadAll(conn)
	return string(said), err
}

// namespaces returns the network namespaces of the threads of this process.
func namespaces(t *testing.T) []string {
	t.Helper()
	threads, err := filepath.Glob("/proc/self/task/*/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, thread := range threads {
		name, err := os.Readlink(thread)
		if err != nil {
			continue // the thread has ended
		}
		found = append(found, name)
	}
	slices.Sort(found)
	return slices.Compact(found)
}
