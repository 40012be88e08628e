package cluster

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/berth-registry/berth/test/e2e/registry"
)

// boundaries checks with the API, and with the kernel, the permissions of the pod. The agent
// listens at the address listen.
func (w *fixture) boundaries(listen string) {
	w.Helper()
	pod, err := w.berthPod()
	w.check(err)
	spec := pod.Spec
	if spec.HostPID || spec.HostIPC || spec.AutomountServiceAccountToken == nil || *spec.AutomountServiceAccountToken {
		w.Errorf("host PID %t, host IPC %t, token %v", spec.HostPID, spec.HostIPC, spec.AutomountServiceAccountToken)
	}
	for _, v := range spec.Volumes {
		if v.Projected != nil {
			for _, s := range v.Projected.Sources {
				if s.ServiceAccountToken != nil {
					w.Errorf("volume %s holds a token", v.Name)
				}
			}
		}
	}
	for _, c := range append(spec.InitContainers, spec.Containers...) {
		w.confined(c)
	}
	rights := w.kubectl("auth", "can-i", "--list", "--as", fmt.Sprintf("system:serviceaccount:%s:%s", namespace, spec.ServiceAccountName), "-n", namespace)
	for _, word := range []string{"secrets", "configmaps", "pods", "nodes"} {
		if strings.Contains(rights, word) {
			w.Errorf("the service account may do something with %s:\n%s", word, rights)
		}
	}

	for _, kind := range []string{"deployments", "roles", "rolebindings", "clusterroles", "clusterrolebindings", "validatingadmissionpolicies", "validatingadmissionpolicybindings"} {
		if some := w.kubectl("get", kind, "-A", "-l", "app.kubernetes.io/instance=berth", "-o", "name"); some != "" {
			w.Errorf("the release has %s", some)
		}
	}

	pids := processes(w, "/berth", "--listen="+listen)
	if len(pids) != 1 {
		w.Fatalf("%d agents run", len(pids))
	}
	status := processStatus(w, pids[0])
	if some := capabilities(status); len(some) > 0 {
		w.Errorf("the agent has %q", some)
	}
	if status["NoNewPrivs"] != "1" || status["Seccomp"] != "2" {
		w.Errorf("NoNewPrivs %s, Seccomp %s", status["NoNewPrivs"], status["Seccomp"])
	}
	if _, err := os.Stat(filepath.Join("/proc", pids[0], "root/var/run/secrets")); err == nil {
		w.Error("there is a token in the pod")
	}
}

// confined checks that a container can only write its mounts.
func (w *fixture) confined(c corev1.Container) {
	w.Helper()
	s := c.SecurityContext
	switch {
	case s == nil || s.Capabilities == nil:
		w.Errorf("container %s has no security context", c.Name)
	case len(s.Capabilities.Add) > 0 || len(s.Capabilities.Drop) != 1 || s.Capabilities.Drop[0] != "ALL":
		w.Errorf("container %s: capabilities %v", c.Name, s.Capabilities)
	case s.Privileged == nil || *s.Privileged, s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation:
		w.Errorf("container %s may become more", c.Name)
	case s.ReadOnlyRootFilesystem == nil || !*s.ReadOnlyRootFilesystem:
		w.Errorf("container %s may write to its root", c.Name)
	case s.SeccompProfile == nil || s.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault:
		w.Errorf("container %s: seccomp %v", c.Name, s.SeccompProfile)
	}
}

// ordinaryHasMore checks that a pod without settings has capabilities: the check would also see
// those of the agent.
func (w *fixture) ordinaryHasMore() {
	w.Helper()
	pids := processes(w, "/program", "")
	if len(pids) == 0 {
		w.Fatal("no ordinary pod runs")
	}
	if some := capabilities(processStatus(w, pids[0])); len(some) == 0 {
		w.Error("a pod that drops no capability seems to have none: the comparison proves nothing")
	}
}

// capabilities returns the sets that are not empty.
func capabilities(status map[string]string) []string {
	var found []string
	for _, set := range []string{"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"} {
		if strings.Trim(status[set], "0") != "" {
			found = append(found, set+" "+status[set])
		}
	}
	return found
}

// processes returns the ids of processes that run a program, named by its path in their own root,
// with an argument.
func processes(w *fixture, program, argument string) []string {
	w.Helper()
	dirs, err := filepath.Glob("/proc/[0-9]*")
	w.check(err)
	var found []string
	for _, dir := range dirs {
		raw, err := os.ReadFile(filepath.Join(dir, "cmdline"))
		if err != nil {
			continue // the process has ended
		}
		args := strings.Split(string(raw), "\x00")
		if args[0] == program && (argument == "" || slices.Contains(args, argument)) {
			found = append(found, filepath.Base(dir))
		}
	}
	return found
}

// processStatus returns /proc/<pid>/status.
func processStatus(w *fixture, pid string) map[string]string {
	w.Helper()
	raw, err := os.ReadFile(filepath.Join("/proc", pid, "status"))
	w.check(err)
	found := map[string]string{}
	for line := range strings.Lines(string(raw)) {
		name, value, _ := strings.Cut(line, ":")
		found[name] = strings.TrimSpace(value)
	}
	return found
}

// served checks that a registry answered containerd below a path with this status.
func (w *fixture) served(r *registry.Registry, path string, status int) {
	w.Helper()
	requests, err := r.Served(w.Context())
	w.check(err)
	for _, one := range requests {
		if strings.HasPrefix(one.URI, path) && one.Status == status {
			return
		}
	}
	w.Errorf("%s has not answered %d below %s: %v", r.Addr(), status, path, requests)
}
