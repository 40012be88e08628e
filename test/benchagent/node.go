package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/berth-registry/berth/agent/status"
)

// node is a directory that stands for a machine, with an agent. The caller must call close.
type node struct {
	root, config string
	berth        string
	patience     time.Duration
	page         string    // address of the running agent's page
	cmd          *exec.Cmd // nil if none runs
	log          *os.File
	// cgroup limits the agent, and tmp is its TMPDIR; optional.
	cgroup *cgroup
	tmp    string
	// goMemLimit is its GOMEMLIMIT; optional.
	goMemLimit string
	// cached: the pages of the program do not count, because they are in memory already.
	cached bool
}

func newNode(o options, name string) (*node, error) {
	dir := filepath.Join(o.dir, name)
	n := &node{root: filepath.Join(dir, "root"), config: filepath.Join(dir, "config.yaml"), berth: o.berth, patience: o.patience}
	if err := os.MkdirAll(n.root, 0o755); err != nil {
		return nil, err
	}
	var err error
	n.log, err = os.Create(filepath.Join(dir, "log"))
	return n, err
}

// close ends the agent of a failed trial: an agent that still writes keeps its directory from being
// removed.
func (n *node) close() {
	if n.cmd != nil {
		_ = n.cmd.Process.Kill()
		_ = n.cmd.Wait() // killed
		n.cmd = nil
	}
	n.log.Close()
}

// start runs the agent on a free port and waits until it is ready.
func (n *node) start(ctx context.Context) error {
	said, err := n.log.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	args := []string{n.berth, "agent", "--config", n.config, "--root", n.root, "--listen", "127.0.0.1:0"}
	if n.cgroup != nil {
		// A copy, so that the pages of the program count too.
		program, enter := n.root+"-berth", `echo $$ >"$1/cgroup.procs" && cp "$2" "$0" && shift 2 && exec "$0" "$@"`
		if n.cached {
			if _, err := os.ReadFile(n.berth); err != nil {
				return err
			}
			program, enter = n.berth, `echo $$ >"$1/cgroup.procs" && shift 2 && exec "$0" "$@"`
		}
		args = append([]string{"sh", "-c", enter, program, n.cgroup.dir}, args...)
	}
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env = append(os.Environ(), "AWS_EC2_METADATA_SERVICE_ENDPOINT=http://127.0.0.1:1")
	if n.tmp != "" {
		cmd.Env = append(cmd.Env, "TMPDIR="+n.tmp)
	}
	if n.goMemLimit != "" {
		cmd.Env = append(cmd.Env, "GOMEMLIMIT="+n.goMemLimit)
	}
	cmd.Stderr = n.log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return err
	}
	n.cmd, n.page = cmd, ""
	return until(ctx, n.patience, "the agent is ready", func() bool {
		if n.cgroup.killed() {
			return true
		}
		if n.page == "" {
			n.page = n.listening(said)
		}
		if n.page == "" {
			return false
		}
		response, err := http.Get(n.page + "/readyz")
		if err != nil {
			return false
		}
		response.Body.Close()
		return response.StatusCode == http.StatusOK
	})
}

// listening returns the address of the page from the log after an offset; "" if the log does not
// have it yet.
func (n *node) listening(from int64) string {
	log, err := os.ReadFile(n.log.Name())
	if err != nil || int64(len(log)) < from {
		return ""
	}
	for line := range bytes.Lines(log[from:]) {
		var said struct{ Msg, Address string }
		if json.Unmarshal(line, &said) == nil && said.Msg == "listening" {
			return "http://" + said.Address
		}
	}
	return ""
}

// stop ends the agent and returns how long that took.
func (n *node) stop() (time.Duration, error) {
	begin := time.Now()
	if err := n.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return 0, err
	}
	err := n.cmd.Wait()
	n.cmd = nil
	return time.Since(begin), err
}

func (n *node) snapshot() (status.Snapshot, error) {
	var s status.Snapshot
	response, err := http.Get(n.page + "/status")
	if err != nil {
		return s, err
	}
	defer response.Body.Close()
	return s, json.NewDecoder(response.Body).Decode(&s)
}

func (n *node) hosts(upstream string) string {
	return filepath.Join(n.root, "etc/containerd/certs.d", upstream, "hosts.toml")
}

// save replaces the config, as an editor does.
func (n *node) save(config string) error {
	if err := os.WriteFile(n.config+".tmp", []byte(config), 0o600); err != nil {
		return err
	}
	return os.Rename(n.config+".tmp", n.config)
}

func upstream(i int) string { return fmt.Sprintf("r%04d.corp", i) }

// large returns a config of this many upstreams with three endpoints each; upstream changed has
// another first endpoint, of this generation.
func large(upstreams, changed, generation int, health string) string {
	var b strings.Builder
	b.WriteString("apiVersion: berth/v1alpha1\nkind: RegistryConfig\nhealth: " + health + "\nmirrors:\n")
	for i := range upstreams {
		g := 0
		if i == changed {
			g = generation
		}
		fmt.Fprintf(&b, "- upstream: %s\n  endpoints:\n  - url: https://m%d.corp/%s\n  - url: https://second.corp/%[3]s\n  - url: https://third.corp/%[3]s\n",
			upstream(i), g, upstream(i))
	}
	return b.String()
}

// until waits for a condition.
func until(ctx context.Context, patience time.Duration, what string, condition func() bool) error {
	end := time.Now().Add(patience)
	for !condition() {
		if time.Now().After(end) {
			return fmt.Errorf("not within %s: %s", patience, what)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(500 * time.Microsecond):
		}
	}
	return nil
}

// until waits until the file of upstream i is of generation g. The files are written in the order
// of their names.
func (n *node) until(ctx context.Context, g, i int) error {
	want := fmt.Appendf(nil, "https://m%d.corp/", g)
	return until(ctx, 30*time.Second, n.hosts(upstream(i))+" is written again", func() bool {
		b, err := os.ReadFile(n.hosts(upstream(i)))
		return err == nil && bytes.Contains(b, want)
	})
}

// usage is the resource usage of a process.
type usage struct {
	cpu     time.Duration
	rss     int // KiB
	threads int
	files   int
}

// procTick is the unit of the times in /proc: USER_HZ is 100 on Linux.
const procTick = 10 * time.Millisecond

func usageOf(pid int) (usage, error) {
	var u usage
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return u, err
	}
	// The name in parentheses may contain any character; the fields come after it.
	_, rest, _ := strings.Cut(string(b), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 18 {
		return u, errors.New("/proc/PID/stat has too few fields")
	}
	var user, system int
	if _, err := fmt.Sscan(fields[11]+" "+fields[12]+" "+fields[17], &user, &system, &u.threads); err != nil {
		return u, err
	}
	u.cpu = time.Duration(user+system) * procTick
	b, err = os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return u, err
	}
	for line := range strings.Lines(string(b)) {
		if value, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			if _, err := fmt.Sscan(value, &u.rss); err != nil {
				return u, err
			}
		}
	}
	names, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	u.files = len(names)
	return u, err
}
