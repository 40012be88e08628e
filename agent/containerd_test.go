package agent

import (
	"strings"
	"testing"

	"github.com/berth-registry/berth/agent/status"
)

// If containerd reads none of the agent's files, the status page says so, until containerd's
// configuration is changed.
func TestContainerdReadsNothing(t *testing.T) {
	n := newNode(t)
	n.o.random = func() float64 { return 0 }
	n.write("root/etc/containerd/config.toml", "version = 2\n")
	n.write("etc/config.yaml", mirrorTo("http://127.0.0.1:1"))
	alarm := func() string {
		for _, a := range status.Alarms(n.agent.Snapshot()) {
			if a.Name == "FilesNotRead" {
				return a.Message
			}
		}
		return ""
	}
	n.start()
	n.eventually("the alarm", func() bool { return alarm() != "" })
	if got := alarm(); !strings.Contains(got, "containerd does not read these files: /etc/containerd/config.toml") || !strings.Contains(got, "berth install --containerd") {
		t.Error(got)
	}
	if !n.agent.Snapshot().Ready.Ready {
		t.Error("not ready, though the files are as the config wants them")
	}
	n.write("root/etc/containerd/config.toml", "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".registry]\nconfig_path = \"/etc/containerd/certs.d\"\n")
	n.eventually("no alarm", func() bool { return alarm() == "" })
	if c := n.agent.Snapshot().Containerd; c.Reads != status.ReadsYes || c.Why != "" {
		t.Errorf("%+v", c)
	}
	// An imported file, in a directory that is watched for it.
	n.write("root/etc/containerd/config.toml", "version = 2\nimports = [\"/etc/containerd/conf.d/*.toml\"]\n")
	n.write("root/etc/containerd/conf.d/a.conf", "")
	n.eventually("the alarm again", func() bool { return alarm() != "" })
	n.write("root/etc/containerd/conf.d/a.toml", "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".registry]\nconfig_path = \"/etc/containerd/certs.d\"\n")
	n.agent.Wake()
	n.eventually("no alarm again", func() bool { return alarm() == "" })
}

// On a node without containerd there is no such alert.
func TestNoContainerd(t *testing.T) {
	n := newNode(t)
	n.write("etc/config.yaml", mirrorTo("http://127.0.0.1:1"))
	n.start()
	n.eventually("looked", func() bool { return n.agent.Snapshot().Containerd != nil })
	s := n.agent.Snapshot()
	for _, a := range status.Alarms(s) {
		if a.Name == "FilesNotRead" {
			t.Error(a)
		}
	}
	if s.Containerd.Reads != status.ReadsUnknown {
		t.Errorf("%+v", s.Containerd)
	}
}
