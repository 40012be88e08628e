package node

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/berth-registry/berth/internal/redact"
)

// Proxy is the proxy of a process' environment. A proxy's URL may hold a login.
type Proxy struct {
	HTTP, HTTPS redact.Secret
	No          string
}

// ProxyOf reads the proxy variables of a process' environment, and nothing else of it. As in
// net/http the upper-case name is preferred.
func ProxyOf(h Host, pid int) (Proxy, error) {
	raw, err := os.ReadFile(filepath.Join(h.Proc, strconv.Itoa(pid), "environ"))
	if err != nil {
		return Proxy{}, err
	}
	return ProxyFrom(func(name string) string {
		value := ""
		for line := range bytes.SplitSeq(raw, []byte{0}) {
			if v, ok := bytes.CutPrefix(line, []byte(name+"=")); ok {
				value = string(v)
			}
		}
		return value
	}), nil
}

// ProxyFrom reads the proxy variables of an environment.
func ProxyFrom(getenv func(string) string) Proxy {
	first := func(upper string) string {
		if v := getenv(upper); v != "" {
			return v
		}
		return getenv(strings.ToLower(upper))
	}
	return Proxy{redact.New(first("HTTP_PROXY")), redact.New(first("HTTPS_PROXY")), first("NO_PROXY")}
}

// Identity identifies one process: by the boot of the machine, its number, and its start time.
// A restarted process has another identity.
func Identity(h Host, pid int) (string, error) {
	fields, err := statFields(h, pid)
	if err != nil {
		return "", err
	}
	boot, err := os.ReadFile(filepath.Join(h.Proc, "sys/kernel/random/boot_id"))
	if err != nil {
		boot = []byte("unknown boot")
	}
	return fmt.Sprintf("%s, process %d, started at %s", bytes.TrimSpace(boot), pid, fields[startTime]), nil
}

// startTime is the index of a process' start time, field 22 of proc(5).
const startTime = 19

// statFields returns the fields of a process' stat file from the state on; the name before them
// may hold spaces and brackets.
func statFields(h Host, pid int) ([]string, error) {
	file := filepath.Join(h.Proc, strconv.Itoa(pid), "stat")
	stat, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) <= startTime {
		return nil, fmt.Errorf("%s: not the stat file of a process", file)
	}
	return fields, nil
}

// Started returns when a process was started.
func Started(h Host, pid int) (time.Time, error) {
	const ticks = 100 // USER_HZ
	fields, err := statFields(h, pid)
	if err != nil {
		return time.Time{}, err
	}
	after, err := strconv.ParseInt(fields[startTime], 10, 64)
	if err != nil {
		return time.Time{}, err
	}
	machine, err := os.ReadFile(filepath.Join(h.Proc, "stat"))
	if err != nil {
		return time.Time{}, err
	}
	for line := range strings.Lines(string(machine)) {
		if boot, ok := strings.CutPrefix(line, "btime "); ok {
			seconds, err := strconv.ParseInt(strings.TrimSpace(boot), 10, 64)
			return time.Unix(seconds, 0).Add(time.Duration(after) * time.Second / ticks), err
		}
	}
	return time.Time{}, fmt.Errorf("%s: no btime line", filepath.Join(h.Proc, "stat"))
}
