package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// terminal opens a pseudoterminal: text that is written to writer is read from reader. See pty(7).
func terminal(t *testing.T) (reader, writer *os.File) {
	t.Helper()
	reader, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { reader.Close() })
	number, err := unix.IoctlGetInt(int(reader.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(int(reader.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	writer, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { writer.Close() })
	return reader, writer
}

// A plan is coloured only on a terminal, and not with NO_COLOR.
func TestColour(t *testing.T) {
	dir := t.TempDir()
	config := filepath.Join(dir, "config.yaml")
	if err := os.WriteFile(config, []byte("apiVersion: berth/v1alpha1\nkind: RegistryConfig\nmirrors: [{upstream: quay.io, endpoints: [{url: https://m.corp}]}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	plan := func(out *os.File, env ...string) {
		t.Helper()
		cmd := exec.Command("berth", "plan", "--root", filepath.Join(dir, "root"), "-c", config)
		cmd.Env = append(append(os.Environ(), "TERM=xterm", "NO_COLOR="), env...)
		cmd.Stdout, cmd.Stderr = out, os.Stderr
		if exit, ok := errors.AsType[*exec.ExitError](cmd.Run()); !ok || exit.ExitCode() != 1 {
			t.Fatalf("want exit code 1, which says that there is something to do: %v", exit)
		}
	}
	onTerminal := func(env ...string) string {
		t.Helper()
		reader, writer := terminal(t)
		read := make(chan string)
		go func() {
			text, err := io.ReadAll(reader)
			if err != nil && !errors.Is(err, syscall.EIO) { // a terminal ends with EIO
				text = append(text, err.Error()...)
			}
			read <- string(text)
		}()
		plan(writer, env...)
		writer.Close()
		return <-read
	}
	if text := onTerminal(); !strings.Contains(text, "\x1b[32m") || !strings.Contains(text, "\x1b[0m") || !strings.Contains(text, "m.corp") {
		t.Errorf("no colour on a terminal: %q", text)
	}
	for _, none := range []string{"NO_COLOR=1", "TERM=dumb"} {
		if text := onTerminal(none); strings.Contains(text, "\x1b") || !strings.Contains(text, "m.corp") {
			t.Errorf("colour in spite of %s: %q", none, text)
		}
	}
	file, err := os.Create(filepath.Join(dir, "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	plan(file)
	if text, err := os.ReadFile(file.Name()); err != nil || strings.Contains(string(text), "\x1b") || !strings.Contains(string(text), "m.corp") {
		t.Errorf("in a file: %v %q", err, text)
	}
}
