// Package joined runs a real kubelet that is a node of a cluster, beside a containerd of the
// end-to-end tests.
//
// It runs in containerd's mount and process namespaces, because containerd must see the Secrets
// that it mounts. So it cannot change the machine, and the kernel ends kubelet when containerd
// ends.
package joined

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/berth-registry/berth/test/cluster/proc"
	"github.com/berth-registry/berth/test/standalone"
)

// Options configure a kubelet.
type Options struct {
	Program    string // path of the kubelet binary
	Socket     string // of the container runtime
	Beside     int    // process number of the container runtime
	Name       string // of the node
	Kubeconfig string
	Env        []string // in place of our environment; PATH is added
	// ProviderConfig and ProviderBinDir are kubelet's two flags for image
	// credential providers; empty for none.
	ProviderConfig, ProviderBinDir string
	// Taints is kubelet's --register-with-taints; empty for none.
	Taints string
}

// Kubelet is a running kubelet.
type Kubelet struct {
	dir    string
	log    string
	cmd    *exec.Cmd
	exited chan struct{}
}

// enter runs once for a containerd: directories that kubelet writes to by name become empty, and
// kernel settings become copies.
const enter = `set -e
copies=$1; shift
if [ ! -e "$copies/done" ]; then
	for dir in /var/lib /var/log; do mount -t tmpfs tmpfs "$dir"; done
	for setting in vm/overcommit_memory vm/panic_on_oom kernel/panic kernel/panic_on_oops kernel/keys/root_maxkeys kernel/keys/root_maxbytes; do
		copy=$copies/$(echo "$setting" | tr / .)
		cat "/proc/sys/$setting" >"$copy"
		mount --bind "$copy" "/proc/sys/$setting"
	done
	: >"$copies/done"
fi
exec setpriv --pdeathsig KILL "$@"`

// SyncFrequency is how often kubelet checks whether a ConfigMap has changed. Its default is a
// minute.
const SyncFrequency = 5 * time.Second

// Start starts kubelet with its files in dir, which may hold those of an earlier kubelet. It does
// not wait. The caller must call Close.
func Start(dir string, o Options) (*Kubelet, error) {
	for _, d := range []string{"sys", "manifests"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			return nil, err
		}
	}
	file := filepath.Join(dir, "config.yaml")
	if err := os.WriteFile(file, Config(dir, o.Socket), 0o600); err != nil {
		return nil, err
	}
	k := &Kubelet{dir: dir, log: filepath.Join(dir, "kubelet.log"), exited: make(chan struct{})}
	log, err := os.OpenFile(k.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	args := []string{
		"--mount", "--pid", "--target", strconv.Itoa(o.Beside), "sh", "-c", enter, "sh", filepath.Join(dir, "sys"),
		o.Program,
		"--config", file,
		"--kubeconfig", o.Kubeconfig,
		"--root-dir", filepath.Join(dir, "root"),
		"--cert-dir", filepath.Join(dir, "pki"),
		"--hostname-override", o.Name,
		"--v", "2",
	}
	if o.ProviderConfig != "" {
		args = append(args, "--image-credential-provider-config", o.ProviderConfig, "--image-credential-provider-bin-dir", o.ProviderBinDir)
	}
	if o.Taints != "" {
		args = append(args, "--register-with-taints", o.Taints)
	}
	k.cmd = exec.Command("nsenter", args...)
	k.cmd.Env = append(append([]string(nil), o.Env...), "PATH=/usr/sbin:/usr/bin:/sbin:/bin")
	k.cmd.Dir = dir
	k.cmd.Stdout, k.cmd.Stderr = log, log
	k.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := k.cmd.Start(); err != nil {
		return nil, fmt.Errorf("kubelet: %w", err)
	}
	go func() {
		defer close(k.exited)
		_ = k.cmd.Wait() // the log says more than the exit status
	}()
	return k, nil
}

// Config returns a KubeletConfiguration for a kubelet that keeps its files in dir.
func Config(dir, socket string) []byte {
	return append(standalone.Config(dir, socket), fmt.Appendf(nil, "syncFrequency: %s\n", SyncFrequency)...)
}

// PodLogs returns the directory of the logs of containers.
func (k *Kubelet) PodLogs() string { return filepath.Join(k.dir, "podlogs") }

// Log returns everything that kubelet has logged.
func (k *Kubelet) Log() string {
	raw, err := os.ReadFile(k.log)
	if err != nil {
		return err.Error()
	}
	return string(raw)
}

// Exited reports whether kubelet has ended by itself.
func (k *Kubelet) Exited() bool {
	select {
	case <-k.exited:
		return true
	default:
		return false
	}
}

// stopTime is how long kubelet may take to end before it is killed.
const stopTime = 20 * time.Second

// Stop ends kubelet. Its pods go on running.
func (k *Kubelet) Stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, stopTime)
	defer cancel()
	children, err := proc.Children(k.cmd.Process.Pid)
	for _, pid := range children {
		_ = syscall.Kill(pid, syscall.SIGTERM)
	}
	select {
	case <-k.exited:
		return err
	case <-ctx.Done():
	}
	// The child ends with nsenter, because of setpriv.
	_ = k.cmd.Process.Kill()
	<-k.exited
	return errors.Join(err, fmt.Errorf("kubelet did not end within %s", stopTime))
}
