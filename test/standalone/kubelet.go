// Package standalone runs a real kubelet without an API server: it starts the pods whose manifests
// are in a directory, with a given container runtime, and asks image credential providers as on any
// node.
//
// It changes nothing on the machine. kubelet runs in its own mount namespace, in which the
// directories that it writes to by name are empty and the kernel settings are copies, and in its
// own process namespace, so that the kernel ends all its processes when it ends.
package standalone

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/berth-registry/berth/test/isolate"
)

// Options configure a kubelet.
type Options struct {
	Program string // path of the kubelet binary
	Socket  string // of the container runtime
	// ProviderConfig and ProviderBinDir are kubelet's two flags for image
	// credential providers; without ProviderConfig it has none.
	ProviderConfig, ProviderBinDir string
	Env                            []string // in place of our environment; PATH is added
	// EvictionHard are thresholds, as in {imagefs.available: 1Gi}. Without them kubelet does not look
	// at disks.
	EvictionHard string
	// More is added to the KubeletConfiguration.
	More string
}

// Kubelet is a running kubelet.
type Kubelet struct {
	program string // its executable
	dir     string
	cmd     *exec.Cmd // unshare, the parent of kubelet
	exited  chan struct{}
}

// stopTime is how long kubelet may take to end before it is killed.
const stopTime = 10 * time.Second

// enter hides the machine's files and becomes kubelet. kubelet writes the listed kernel settings;
// it gets copies of them.
const enter = `set -e
copies=$1; shift
for dir in /run /var/lib /var/log; do mount -t tmpfs tmpfs "$dir"; done
for setting in vm/overcommit_memory vm/panic_on_oom kernel/panic kernel/panic_on_oops kernel/keys/root_maxkeys kernel/keys/root_maxbytes; do
	copy=$copies/$(echo "$setting" | tr / .)
	cat "/proc/sys/$setting" >"$copy"
	mount --bind "$copy" "/proc/sys/$setting"
done
exec "$@"`

// Start starts kubelet. It does not wait until kubelet is ready: a pod shows that. The caller must
// call Close.
func Start(o Options) (*Kubelet, error) {
	dir, err := os.MkdirTemp("", "berth-kubelet-")
	if err != nil {
		return nil, err
	}
	k := &Kubelet{dir: dir, program: o.Program, exited: make(chan struct{})}
	if err := k.start(o); err != nil {
		return nil, errors.Join(fmt.Errorf("kubelet: %w", err), k.Close())
	}
	return k, nil
}

func (k *Kubelet) start(o Options) error {
	for _, d := range []string{k.pods(), filepath.Join(k.dir, "sys")} {
		if err := os.Mkdir(d, 0o755); err != nil {
			return err
		}
	}
	file := filepath.Join(k.dir, "config.yaml")
	if err := os.WriteFile(file, k.config(o), 0o600); err != nil {
		return err
	}
	log, err := os.Create(k.logFile())
	if err != nil {
		return err
	}
	defer log.Close()
	args := []string{
		filepath.Join(k.dir, "sys"), o.Program,
		"--config", file,
		"--root-dir", k.RootDir(),
		"--cert-dir", filepath.Join(k.dir, "pki"),
		"--hostname-override", "node",
		"--v", "4",
	}
	if o.ProviderConfig != "" {
		args = append(args, "--image-credential-provider-config", o.ProviderConfig, "--image-credential-provider-bin-dir", o.ProviderBinDir)
	}
	k.cmd = isolate.Command(enter, args...)
	k.cmd.Env = append(append([]string(nil), o.Env...), "PATH=/usr/sbin:/usr/bin:/sbin:/bin")
	k.cmd.Dir = k.dir
	k.cmd.Stdout, k.cmd.Stderr = log, log
	if err := k.cmd.Start(); err != nil {
		k.cmd = nil
		return err
	}
	go func() {
		defer close(k.exited)
		_ = k.cmd.Wait() // the log says more than the exit status
	}()
	return nil
}

// RootDir is kubelet's root directory.
func (k *Kubelet) RootDir() string { return filepath.Join(k.dir, "root") }

// PID returns the process of kubelet. It waits until the shell before it has become kubelet.
func (k *Kubelet) PID() (int, error) {
	unshare := k.cmd.Process.Pid
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", unshare, unshare))
		if err != nil {
			return 0, err
		}
		var pid int
		if _, err = fmt.Sscan(string(children), &pid); err == nil {
			var program string
			if program, err = os.Readlink(fmt.Sprintf("/proc/%d/exe", pid)); err == nil && program == k.program {
				return pid, nil
			}
		}
		if time.Now().After(end) {
			return 0, fmt.Errorf("the child of process %d is not kubelet: %v", unshare, err)
		}
	}
}

// Run makes kubelet run a pod: manifest is one v1.Pod in YAML.
func (k *Kubelet) Run(name, manifest string) error {
	// kubelet watches the directory: it must not read a partial file.
	temp := filepath.Join(k.dir, name+".yaml")
	if err := os.WriteFile(temp, []byte(manifest), 0o600); err != nil {
		return err
	}
	return os.Rename(temp, filepath.Join(k.pods(), name+".yaml"))
}

// WaitForLog waits until a line of the log contains all parts, and returns the first such line.
func (k *Kubelet) WaitForLog(ctx context.Context, parts ...string) (string, error) {
	for {
		for line := range strings.Lines(k.Log()) {
			if holdsAll(line, parts) {
				return strings.TrimSpace(line), nil
			}
		}
		if err := k.Pause(ctx); err != nil {
			return "", fmt.Errorf("no line of kubelet's log holds %q: %w", parts, err)
		}
	}
}

func holdsAll(line string, parts []string) bool {
	for _, p := range parts {
		if !strings.Contains(line, p) {
			return false
		}
	}
	return true
}

// Pause waits a moment. It returns an error if kubelet or ctx has ended.
func (k *Kubelet) Pause(ctx context.Context) error {
	timer := time.NewTimer(50 * time.Millisecond)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-k.exited:
		return errors.New("kubelet has ended")
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Log returns everything that kubelet has logged.
func (k *Kubelet) Log() string {
	raw, err := os.ReadFile(k.logFile())
	if err != nil {
		return err.Error()
	}
	return string(raw)
}

// Stop ends kubelet. Its pods go on running until their runtime stops them or ends.
func (k *Kubelet) Stop() error {
	if k.cmd == nil {
		return nil
	}
	// unshare does not forward signals; its death ends the child.
	_ = k.cmd.Process.Kill()
	select {
	case <-k.exited:
		return nil
	case <-time.After(stopTime):
		return fmt.Errorf("kubelet did not end within %s", stopTime)
	}
}

// Close ends kubelet and removes its files. It returns an error for what it could not remove.
func (k *Kubelet) Close() error {
	return errors.Join(k.Stop(), k.leftovers(), os.RemoveAll(k.dir))
}

// leftovers reports our mounts that are still in the machine's mount table.
func (k *Kubelet) leftovers() error {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	if strings.Contains(string(mounts), k.dir) {
		return fmt.Errorf("kubelet left a mount below %s", k.dir)
	}
	return nil
}

func (k *Kubelet) pods() string    { return filepath.Join(k.dir, "manifests") }
func (k *Kubelet) logFile() string { return filepath.Join(k.dir, "kubelet.log") }
