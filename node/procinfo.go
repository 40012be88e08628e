package node

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/prometheus/procfs"

	"github.com/berth-registry/berth/internal/proxy"
)

// ProxyOf reads the proxy variables of a process' environment, and nothing else of it, as net/http
// reads them.
func ProxyOf(m Machine, pid int) (proxy.Settings, error) {
	p, err := procOf(m, pid)
	if err != nil {
		return proxy.Settings{}, err
	}
	lines, err := p.Environ()
	return proxy.FromEnvironment(func(name string) string {
		value := ""
		for _, line := range lines {
			if v, ok := strings.CutPrefix(line, name+"="); ok {
				value = v
			}
		}
		return value
	}), err
}

// Identity identifies one process: by the boot of the machine, its number, and its start time.
// A restarted process has another identity.
func Identity(m Machine, pid int) (string, error) {
	stat, err := statOf(m, pid)
	if err != nil {
		return "", err
	}
	boot, err := os.ReadFile(filepath.Join(m.Proc, "sys/kernel/random/boot_id"))
	if err != nil {
		boot = []byte("unknown boot")
	}
	return fmt.Sprintf("%s, process %d, started at %d", bytes.TrimSpace(boot), pid, stat.Starttime), nil
}

// Started returns when a process was started.
func Started(m Machine, pid int) (time.Time, error) {
	stat, err := statOf(m, pid)
	if err != nil {
		return time.Time{}, err
	}
	seconds, err := stat.StartTime()
	return time.UnixMilli(int64(math.Round(seconds * 1000))), err
}

func procOf(m Machine, pid int) (procfs.Proc, error) {
	proc, err := procfs.NewFS(m.Proc)
	if err != nil {
		return procfs.Proc{}, err
	}
	return proc.Proc(pid)
}

func statOf(m Machine, pid int) (procfs.ProcStat, error) {
	p, err := procOf(m, pid)
	if err != nil {
		return procfs.ProcStat{}, err
	}
	return p.Stat()
}
