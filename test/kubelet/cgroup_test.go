package kubelet

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// podCgroups returns the cgroups that containerd puts pods into if kubelet names no parent, as it
// does without a cgroup for each class of pods.
func podCgroups(t *testing.T) []string {
	t.Helper()
	var found []string
	for _, pattern := range []string{"/sys/fs/cgroup/k8s.io", "/sys/fs/cgroup/*/k8s.io"} {
		dirs, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, dirs...)
	}
	return found
}

// removeCgroups removes them, unless they hold pods of another program: an empty one is not missed.
// None of ours, which ids name, may remain.
func removeCgroups(t *testing.T, ids []string) {
	t.Helper()
	for _, dir := range podCgroups(t) {
		removeSoon(t, dir, ids)
	}
}

func removeSoon(t *testing.T, dir string, ids []string) {
	t.Helper()
	// The kernel keeps a cgroup for a moment after its last process has ended.
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		err := os.Remove(dir)
		if err == nil || errors.Is(err, fs.ErrNotExist) {
			return
		}
		pods, listErr := filepath.Glob(filepath.Join(dir, "*", "cgroup.procs"))
		if listErr != nil {
			t.Fatal(listErr)
		}
		ours := slices.ContainsFunc(pods, func(p string) bool {
			return slices.Contains(ids, filepath.Base(filepath.Dir(p)))
		})
		if len(pods) > 0 && !ours {
			return
		}
		if time.Now().After(end) {
			t.Errorf("a cgroup is left: %v; with %q", err, pods)
			return
		}
	}
}

// settings returns the kernel settings that kubelet writes.
func settings(t *testing.T) string {
	t.Helper()
	all := ""
	for _, name := range []string{
		"vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops",
		"kernel/keys/root_maxkeys", "kernel/keys/root_maxbytes",
	} {
		raw, err := os.ReadFile(filepath.Join("/proc/sys", name))
		if err != nil {
			t.Fatal(err)
		}
		all += name + " " + string(raw)
	}
	return all
}
