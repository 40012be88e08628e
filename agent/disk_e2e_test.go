//go:build e2e

package agent

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestFullDisk needs root: certs.d is a file system of 64 KiB that is full.
func TestFullDisk(t *testing.T) {
	n := newNode(t)
	dir := filepath.Join(n.root, certsDir)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Fatalf("mount a small file system (as root): %v", err)
	}
	defer func() {
		n.end()
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	}()
	mirrors := func(count int, host string) string {
		c := head + "health: {mode: \"off\"}\nmirrors:\n"
		for i := range count {
			c += fmt.Sprintf("- upstream: r%d.corp\n  endpoints:\n  - url: https://%s\n", i, host)
		}
		return c
	}
	n.write("etc/config.yaml", mirrors(3, "a.corp"))
	n.start()
	for i := range 3 {
		n.names(fmt.Sprintf("r%d.corp", i), "a.corp", true)
	}
	n.converged()
	var before [3]string
	for i := range before {
		before[i] = n.hosts(fmt.Sprintf("r%d.corp", i))
	}

	// Somebody fills what is left.
	filler := filepath.Join(dir, "filler")
	f, err := os.Create(filler)
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = f.Write(bytes.Repeat([]byte("x"), 1024))
	}
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
	f.Close()

	n.write("etc/config.yaml", mirrors(40, "b.corp"))
	n.eventually("told", func() bool {
		s := n.agent.Snapshot()
		return strings.Contains(s.Converge.Error, "no space left on device") && !s.Ready.Ready && s.Config.OK
	})
	for i, want := range before {
		if got := n.hosts(fmt.Sprintf("r%d.corp", i)); got != want && !strings.Contains(got, "b.corp") {
			t.Errorf("r%d.corp is neither as before nor as wanted:\n%s", i, got)
		}
	}

	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	// 40 files of a page each fit into 64 KiB no more than they did.
	n.write("etc/config.yaml", mirrors(5, "b.corp"))
	for i := range 5 {
		n.names(fmt.Sprintf("r%d.corp", i), "b.corp", true)
	}
	n.eventually("ready again", func() bool { return n.agent.Snapshot().Ready.Ready })
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 5 {
		t.Errorf("%v %v", entries, err)
	}
}
