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

// ProxyOf reads the proxy variables of a process' environment, and nothing else
// of it, as net/http reads them.
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

// Started is when a process was started.
func Started(h Host, pid int) (time.Time, error) {
	stat, err := os.ReadFile(filepath.Join(h.Proc, strconv.Itoa(pid), "stat"))
	if err != nil {
		return time.Time{}, err
	}
	// The name before the fields may hold spaces and brackets.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	const startTime, ticks = 19, 100 // field 22 of proc(5); USER_HZ
	if len(fields) <= startTime {
		return time.Time{}, fmt.Errorf("%s: is no process", filepath.Join(h.Proc, strconv.Itoa(pid)))
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
	return time.Time{}, fmt.Errorf("%s: does not tell when the machine was started", filepath.Join(h.Proc, "stat"))
}
