package chart

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// boundaries returns the permissions of a pod that it must not have.
func boundaries(p corev1.PodSpec) []string {
	var wrong []string
	no := func(bad bool, what string, args ...any) {
		if bad {
			wrong = append(wrong, fmt.Sprintf(what, args...))
		}
	}
	no(p.HostPID, "sees the node's processes")
	no(p.HostIPC, "shares the node's IPC")
	no(p.AutomountServiceAccountToken == nil || *p.AutomountServiceAccountToken, "has a token")
	for _, c := range slices.Concat(p.InitContainers, p.Containers) {
		s := c.SecurityContext
		if s == nil || s.Capabilities == nil || s.SeccompProfile == nil {
			no(true, "%s: no security context", c.Name)
			continue
		}
		no(!reflect.DeepEqual(s.Capabilities, &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}), "%s: capabilities %v", c.Name, s.Capabilities)
		no(s.Privileged == nil || *s.Privileged, "%s: privileged", c.Name)
		no(s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation, "%s: may gain privileges", c.Name)
		no(s.ReadOnlyRootFilesystem == nil || !*s.ReadOnlyRootFilesystem, "%s: its root is writable", c.Name)
		no(s.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault, "%s: seccomp %v", c.Name, s.SeccompProfile.Type)
	}
	for _, v := range p.Volumes {
		if v.Projected != nil {
			for _, s := range v.Projected.Sources {
				no(s.ServiceAccountToken != nil, "%s: a token", v.Name)
			}
		}
	}
	return wrong
}

// hostPaths returns the node's directories in a container, and how they are mounted.
func hostPaths(p corev1.PodSpec, container corev1.Container) map[string]string {
	found := map[string]string{}
	for _, m := range container.VolumeMounts {
		for _, v := range p.Volumes {
			if v.Name != m.Name || v.HostPath == nil {
				continue
			}
			how := "rw"
			if m.ReadOnly {
				how = "ro"
			}
			found[v.HostPath.Path] = how + " " + m.MountPath
		}
	}
	return found
}

func TestBoundaries(t *testing.T) {
	r := render(t, "")
	if wrong := boundaries(r.pod()); len(wrong) > 0 {
		t.Errorf("by default:\n%s", strings.Join(wrong, "\n"))
	}
	if r.account == nil || r.account.AutomountServiceAccountToken == nil || *r.account.AutomountServiceAccountToken {
		t.Errorf("the service account: %+v", r.account)
	}
	for container, want := range map[string]map[string]string{
		"agent": {
			"/etc/containerd/certs.d": "rw /host/etc/containerd/certs.d",
			"/var/lib/berth":          "rw /host/var/lib/berth",
			"/run/berth":              "rw /host/run/berth",
			"/etc/ssl/certs":          "ro /etc/ssl/certs",
		},
		"provider": {
			"/var/lib/berth":           "rw /host/var/lib/berth",
			"/usr/local/libexec/berth": "rw /host/usr/local/libexec/berth",
			"/etc/berth":               "rw /host/etc/berth",
		},
	} {
		p := r.pod()
		for _, c := range slices.Concat(p.InitContainers, p.Containers) {
			if c.Name != container {
				continue
			}
			if got := hostPaths(p, c); !maps.Equal(got, want) {
				t.Errorf("%s has of the node %q, want %q", container, got, want)
			}
		}
	}
	if len(r.pod().InitContainers) != 1 || len(r.pod().Containers) != 1 {
		t.Errorf("%d init containers and %d containers", len(r.pod().InitContainers), len(r.pod().Containers))
	}
}

// A privileged container must be found, and exists only where the values ask for it.
func TestBoundariesAreFound(t *testing.T) {
	r := render(t, "nodeSetup: {enabled: true}")
	p := r.pod()
	if wrong := boundaries(p); len(wrong) != 1 || !strings.HasPrefix(wrong[0], "node-setup") {
		t.Errorf("with nodeSetup: %q", wrong)
	}
	for _, c := range p.InitContainers {
		if c.Name == "node-setup" && (c.SecurityContext.Privileged == nil || !*c.SecurityContext.Privileged) {
			t.Error("node-setup is not privileged")
		}
	}
	if u := r.daemonSet.Spec.UpdateStrategy.RollingUpdate; u == nil || u.MaxUnavailable.String() != "1" || u.MaxSurge.String() != "0" {
		t.Errorf("with nodeSetup nodes are taken at once: %v", u)
	}

	yes, no := true, false
	p = render(t, "").pod()
	p.HostPID, p.HostIPC, p.AutomountServiceAccountToken = true, true, nil
	s := p.Containers[0].SecurityContext
	s.Privileged, s.AllowPrivilegeEscalation, s.ReadOnlyRootFilesystem = &yes, nil, &no
	s.Capabilities.Add = []corev1.Capability{"SYS_ADMIN"}
	s.SeccompProfile.Type = corev1.SeccompProfileTypeUnconfined
	p.Volumes = append(p.Volumes, corev1.Volume{Name: "token", VolumeSource: corev1.VolumeSource{
		Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{}}}},
	}})
	if wrong := boundaries(p); len(wrong) != 9 {
		t.Errorf("of nine faults these are found: %q", wrong)
	}
}
