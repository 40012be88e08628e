// Package containerd runs a real containerd of a given version beside any other on the machine, and
// uses its CRI plugin as kubelet does.
//
// Each daemon has its own directory for root, state and socket, and its own mount and process
// namespaces with a private /run. When it ends, for any reason, the kernel ends its shims and pods
// and removes its mounts.
package containerd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/berth-registry/berth/test/e2e/parts"
	"github.com/berth-registry/berth/test/isolate"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Options configure a daemon.
type Options struct {
	CertsDir     string   // config_path: one directory, which may not exist yet
	SandboxImage string   // reference of the pod sandbox image
	Runc         string   // path of runc
	LocalPull    bool     // 2.x: pull in the CRI plugin, not through the transfer service
	Env          []string // in place of our environment; PATH is added
}

// Daemon is a running containerd.
type Daemon struct {
	version string
	dir     string
	cgroup  string
	cmd     *exec.Cmd // unshare, the parent of the daemon
	exited  chan struct{}
	conn    *grpc.ClientConn
	images  cri.ImageServiceClient
	runtime cri.RuntimeServiceClient

	mu   sync.Mutex
	pods []string // sandboxes to stop
}

// stopTime is how long the daemon may take to end before it is killed.
const stopTime = 10 * time.Second

// Start runs program and returns when its CRI plugin is ready. An error contains the end of its
// log. The caller must call Close.
func Start(ctx context.Context, program parts.Containerd, o Options) (*Daemon, error) {
	dir, err := os.MkdirTemp("", "berth-e2e-ctrd-")
	if err != nil {
		return nil, err
	}
	d := &Daemon{version: program.Version, dir: dir, cgroup: filepath.Base(dir), exited: make(chan struct{})}
	if err := d.start(ctx, program, o); err != nil {
		err = fmt.Errorf("containerd %s: %w\n%s", program.Version, err, d.Log(0))
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// enter mounts the private /run (shims put their sockets below /run/containerd in any
// configuration) and becomes the daemon.
const enter = `mount -t tmpfs tmpfs /run && exec "$@"`

// maxSocketPath is the longest path in a sockaddr_un, without the final NUL.
const maxSocketPath = 107

func (d *Daemon) start(ctx context.Context, program parts.Containerd, o Options) error {
	if path := socket(d.dir); len(path) > maxSocketPath {
		return fmt.Errorf("socket %s is longer than the %d bytes that Linux takes: set TMPDIR to a shorter directory", path, maxSocketPath)
	}
	raw, err := config(program.Version, d.dir, o)
	if err != nil {
		return err
	}
	file := filepath.Join(d.dir, "config.toml")
	if err := os.WriteFile(file, raw, 0o600); err != nil {
		return err
	}
	log, err := os.Create(d.logFile())
	if err != nil {
		return err
	}
	defer log.Close()
	d.cmd = isolate.Command(enter, program.Daemon, "--config", file, "--log-level", "debug")
	d.cmd.Env = append(slices.Clone(o.Env), "PATH="+program.BinDir+":/usr/sbin:/usr/bin:/sbin:/bin")
	d.cmd.Dir = d.dir
	d.cmd.Stdout, d.cmd.Stderr = log, log
	if err := d.cmd.Start(); err != nil {
		d.cmd = nil
		return err
	}
	go func() {
		defer close(d.exited)
		_ = d.cmd.Wait() // the log says more than the exit status
	}()
	d.conn, err = grpc.NewClient("unix://"+socket(d.dir), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	d.images, d.runtime = cri.NewImageServiceClient(d.conn), cri.NewRuntimeServiceClient(d.conn)
	return d.ready(ctx)
}

// ready waits until the runtime reports that it is ready. (The network never is: there is no CNI
// plugin.)
func (d *Daemon) ready(ctx context.Context) error {
	var last error
	for {
		answer, err := d.runtime.Status(ctx, &cri.StatusRequest{})
		switch {
		case err == nil:
			for _, c := range answer.GetStatus().GetConditions() {
				if c.GetType() == "RuntimeReady" && c.GetStatus() {
					return nil
				}
			}
			last = fmt.Errorf("conditions %v", answer.GetStatus().GetConditions())
		case status.Code(err) == codes.Unimplemented:
			return fmt.Errorf("the CRI plugin did not load: %w", err)
		default:
			last = err
		}
		select {
		case <-d.exited:
			return errors.New("ended while starting")
		case <-ctx.Done():
			return fmt.Errorf("not ready: %w (%w)", last, ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Version returns the version that was started.
func (d *Daemon) Version() string { return d.version }

// Identity identifies this process by its number and start time. It changes if the daemon is
// restarted.
func (d *Daemon) Identity() (string, error) {
	pid, err := d.pid()
	if err != nil {
		return "", err
	}
	fields, err := statFields(pid)
	if err != nil {
		return "", err
	}
	const startTime = 19 // field 22 of proc(5), counted from the state
	return fmt.Sprintf("%d started at %s", pid, fields[startTime]), nil
}

// pid returns the id of the daemon, the only child of unshare.
func (d *Daemon) pid() (int, error) {
	parent := strconv.Itoa(d.cmd.Process.Pid)
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return 0, err
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		fields, err := statFields(pid)
		if err == nil && fields[1] == parent {
			return pid, nil
		}
	}
	return 0, fmt.Errorf("containerd %s does not run", d.version)
}

// statFields returns /proc/<pid>/stat from the state on: the name before it may contain spaces and
// brackets.
func statFields(pid int) ([]string, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil, err
	}
	end := bytes.LastIndexByte(raw, ')')
	fields := strings.Fields(string(raw[end+1:]))
	if end < 0 || len(fields) < 20 {
		return nil, fmt.Errorf("/proc/%d/stat: %q", pid, raw)
	}
	return fields, nil
}

func (d *Daemon) logFile() string { return filepath.Join(d.dir, "containerd.log") }

// LogSize returns the current size of the log, for a later call of Log.
func (d *Daemon) LogSize() int64 {
	info, err := os.Stat(d.logFile())
	if err != nil {
		return 0
	}
	return info.Size()
}

// Log returns the log of the daemon after its first from bytes, at most the last 64 KiB of it.
func (d *Daemon) Log(from int64) string {
	raw, err := os.ReadFile(d.logFile())
	if err != nil {
		return err.Error()
	}
	raw = raw[min(from, int64(len(raw))):]
	return string(raw[max(0, len(raw)-64<<10):])
}

// Close stops the pods and the daemon and removes all their files. It returns an error for what it
// could not remove.
func (d *Daemon) Close() error {
	var errs []error
	if d.cmd != nil {
		if d.conn != nil {
			errs = append(errs, d.stopPods(), d.conn.Close())
		}
		if pid, err := d.pid(); err == nil {
			_ = syscall.Kill(pid, syscall.SIGTERM)
		}
		select {
		case <-d.exited:
		case <-time.After(stopTime):
			_ = d.cmd.Process.Kill() // and with it, by Pdeathsig, the daemon
			<-d.exited
			errs = append(errs, fmt.Errorf("containerd %s did not end within %s", d.version, stopTime))
		}
	}
	errs = append(errs, removeCgroups(d.cgroup), d.leftovers(), os.RemoveAll(d.dir))
	return errors.Join(errs...)
}

// leftovers reports our mounts that are still in the machine's mount table.
func (d *Daemon) leftovers() error {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	if strings.Contains(string(mounts), d.dir) {
		return fmt.Errorf("containerd %s left a mount below %s", d.version, d.dir)
	}
	return nil
}

// removeCgroups removes the (empty) cgroup of the pods from each hierarchy. containerd removes only
// those of the pods themselves.
func removeCgroups(name string) error {
	dirs, err := filepath.Glob("/sys/fs/cgroup/*/" + name)
	if err != nil {
		return err
	}
	var errs []error
	for _, dir := range append(dirs, "/sys/fs/cgroup/"+name) {
		if err := os.Remove(dir); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Ended is closed when the daemon has ended, by itself or by Close.
func (d *Daemon) Ended() <-chan struct{} { return d.exited }
