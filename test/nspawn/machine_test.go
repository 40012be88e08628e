//go:build e2e

package nspawn

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// patience is how long a step may take on a busy machine.
const patience = 2 * time.Minute

// machine is a Debian in systemd-nspawn.
type machine struct {
	t      *testing.T
	root   string // its tree, as a path of this process
	log    string // file with its console output
	nspawn *exec.Cmd
	ended  chan struct{}
	leader int    // its PID 1, in our process namespace
	fails  string // a unit that may fail at boot
}

// newMachine copies the tree; boot starts it.
func newMachine(t *testing.T) *machine {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatal("systemd-nspawn needs root")
	}
	made := exec.Command("./rootfs.sh")
	made.Stderr = os.Stderr
	base, err := made.Output()
	if err != nil {
		t.Fatalf("rootfs.sh: %v", err)
	}
	dir := t.TempDir()
	m := &machine{t: t, root: filepath.Join(dir, "root"), log: filepath.Join(dir, "console")}
	if out, err := exec.Command("cp", "-a", strings.TrimSpace(string(base)), m.root).CombinedOutput(); err != nil {
		t.Fatalf("cp: %v\n%s", err, out)
	}
	t.Cleanup(func() {
		m.kill()
		if t.Failed() {
			t.Logf("the journal:\n%s", m.journal())
		}
	})
	return m
}

// boot starts the machine and waits until systemd has finished.
func (m *machine) boot() {
	m.t.Helper()
	console, err := os.OpenFile(m.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		m.t.Fatal(err)
	}
	defer console.Close()
	m.nspawn = exec.Command("systemd-nspawn", "--quiet", "--settings=no", "--directory="+m.root, "--boot",
		"--register=no", "--keep-unit", "--private-network", "--machine=berth-trial-"+strconv.Itoa(os.Getpid()),
		"--resolv-conf=off", "--timezone=off", "--link-journal=no", "--console=pipe")
	m.nspawn.Stdout, m.nspawn.Stderr = console, console
	m.nspawn.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := m.nspawn.Start(); err != nil {
		m.t.Fatal(err)
	}
	ended := make(chan struct{})
	m.ended = ended
	go func(c *exec.Cmd) {
		_ = c.Wait() // nspawn fails for a machine that was killed or reboots
		close(ended)
	}(m.nspawn)
	m.eventually("it has a PID 1", func() bool {
		m.leader = leaderOf(m.nspawn.Process.Pid)
		return m.leader != 0
	})
	m.eventually("systemd has started everything", func() bool {
		out, _ := m.try("systemctl is-system-running")
		switch state := strings.TrimSpace(out); state {
		case "running":
			return true
		case "degraded":
			out, _ := m.try("systemctl --failed --plain --no-legend")
			if fields := strings.Fields(out); m.fails != "" && fields[0] == m.fails && strings.Count(out, "\n") == 1 {
				return true
			}
			m.t.Fatalf("units failed:\n%s", out)
		}
		return false
	})
}

// reboot makes the machine reboot itself.
func (m *machine) reboot() {
	m.t.Helper()
	_, _ = m.try("systemctl reboot --no-wall") // the answer may get lost
	// With --keep-unit nspawn ends at a reboot, for its service to start anew.
	select {
	case <-m.ended:
	case <-time.After(patience):
		m.t.Fatal("the machine does not go down")
	}
	if code := m.nspawn.ProcessState.ExitCode(); code != 133 {
		m.t.Fatalf("systemd-nspawn ended with %d, and not with 133 for a reboot", code)
	}
	m.boot()
}

// leaderOf returns the child of a process that is PID 1 of a namespace.
func leaderOf(parent int) int {
	files, _ := filepath.Glob("/proc/[0-9]*/status")
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			continue // the process has ended
		}
		field := map[string]string{}
		for line := range strings.Lines(string(raw)) {
			key, value, _ := strings.Cut(line, ":")
			field[key] = strings.TrimSpace(value)
		}
		if ns := strings.Fields(field["NSpid"]); field["PPid"] == strconv.Itoa(parent) && len(ns) == 2 && ns[1] == "1" {
			pid, _ := strconv.Atoi(field["Pid"])
			return pid
		}
	}
	return 0
}

// try runs a shell command on the machine and returns its stdout and stderr.
func (m *machine) try(command string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "nsenter", "--target="+strconv.Itoa(m.leader), "--all", "--root", "--wd",
		"env", "-i", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C.UTF-8",
		"DEBIAN_FRONTEND=noninteractive", "SYSTEMD_PAGER=", "bash", "-euo", "pipefail", "-c", command)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if err != nil {
		err = fmt.Errorf("%s: %w\n%s", command, errors.Join(err, ctx.Err()), &out)
	}
	return out.String(), err
}

// run is try for a command that must not fail.
func (m *machine) run(command string) string {
	m.t.Helper()
	out, err := m.try(command)
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Logf("# %s\n%s", command, out)
	return strings.TrimSpace(out)
}

// property returns a property of a unit.
func (m *machine) property(unit, name string) string {
	m.t.Helper()
	out, err := m.try("systemctl show --value -p " + name + " " + unit)
	if err != nil {
		m.t.Fatal(err)
	}
	return strings.TrimSpace(out)
}

// microseconds returns a property that is a time since boot.
func (m *machine) microseconds(unit, name string) time.Duration {
	m.t.Helper()
	n, err := strconv.ParseInt(m.property(unit, name), 10, 64)
	if err != nil || n == 0 {
		m.t.Fatalf("%s of %s: %v %d", name, unit, err, n)
	}
	return time.Duration(n) * time.Microsecond
}

// path returns the path of a machine's file for this process.
func (m *machine) path(p string) string { return filepath.Join(m.root, p) }

// write writes a file on the machine; a new file has mode 0644.
func (m *machine) write(name, content string) {
	m.t.Helper()
	if err := os.WriteFile(m.path(name), []byte(content), 0o644); err != nil {
		m.t.Fatal(err)
	}
}

// read returns the content of a file of the machine, "" if it is missing.
func (m *machine) read(name string) string {
	m.t.Helper()
	raw, err := os.ReadFile(m.path(name))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		m.t.Fatal(err)
	}
	return string(raw)
}

// eventually waits until a condition holds.
func (m *machine) eventually(what string, holds func() bool) {
	m.t.Helper()
	for begin := time.Now(); !holds(); time.Sleep(50 * time.Millisecond) {
		if time.Since(begin) > patience {
			m.t.Fatalf("it never came about that %s", what)
		}
	}
}

// journal returns the end of the machine's journal.
func (m *machine) journal() string {
	dirs, _ := filepath.Glob(m.path("/var/log/journal/*"))
	console, _ := os.ReadFile(m.log)
	out := string(console)
	for _, dir := range dirs {
		said, _ := exec.Command("journalctl", "--directory="+dir, "--no-pager", "--lines=150", "--output=short-monotonic").CombinedOutput()
		out += string(said)
	}
	return out
}

// kill ends the machine; with its PID 1 the kernel ends everything in it.
func (m *machine) kill() {
	if m.ended == nil {
		return
	}
	if m.leader != 0 {
		_ = syscall.Kill(m.leader, syscall.SIGKILL)
	}
	select {
	case <-m.ended:
	case <-time.After(10 * time.Second):
		_ = m.nspawn.Process.Kill()
		<-m.ended
	}
}
