// Package served runs berth images serve for tests.
package served

import (
	"bufio"
	"encoding/json"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// Start starts cmd, a berth images serve, and returns its address with the scheme. The process gets
// SIGTERM when the test ends, and then has to end with success.
func Start(t testing.TB, cmd *exec.Cmd) string {
	t.Helper()
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	lines := bufio.NewScanner(stderr)
	address := ""
	for address == "" && lines.Scan() {
		log.WriteString(lines.Text() + "\n")
		var line struct{ Address string }
		if json.Unmarshal(lines.Bytes(), &line) == nil {
			address = line.Address
		}
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		for lines.Scan() {
			log.WriteString(lines.Text() + "\n")
		}
	}()
	t.Cleanup(func() {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
		<-read
		if err := cmd.Wait(); err != nil {
			t.Errorf("berth images serve: %v", err)
		}
		if t.Failed() {
			t.Logf("berth images serve:\n%s", &log)
		}
	})
	if address == "" {
		t.Fatal("berth images serve has no address")
	}
	return address
}
