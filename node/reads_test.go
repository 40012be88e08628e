package node_test

import (
	"strings"
	"testing"

	"github.com/berth-registry/berth/node"
)

// Whether containerd reads the files of a directory: yes, no and why, or unknown.
func TestReadsFrom(t *testing.T) {
	const (
		main    = "-- root/etc/containerd/config.toml --\n"
		v2      = "version = 2\n"
		v3      = "version = 3\n"
		table2  = "[plugins.\"io.containerd.grpc.v1.cri\".registry]\n"
		table3  = "[plugins.\"io.containerd.cri.v1.images\".registry]\n"
		one     = "config_path = \"/etc/containerd/certs.d\"\n"
		pair    = "config_path = \"/etc/containerd/certs.d:/etc/docker/certs.d\"\n"
		started = process812 + "-- proc/812/cmdline --\n/usr/bin/containerd\n-- proc/stat --\nbtime 1000000000\n-- proc/812/stat --\n812 (containerd) S 1 7 7 0 -1 0 0 0 0 0 0 0 0 0 20 0 9 0 1000 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n"
		later   = process812 + "-- proc/812/cmdline --\n/usr/bin/containerd\n-- proc/stat --\nbtime 4000000000\n-- proc/812/stat --\n812 (containerd) S 1 7 7 0 -1 0 0 0 0 0 0 0 0 0 20 0 9 0 1000 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n"
	)
	for name, c := range map[string]struct {
		archive, version, dir string
		want                  node.Reading
		why, remedy           string
	}{
		"nothing is there":             {"", "", "", node.CannotTell, "no containerd was found", ""},
		"a directory, any version":     {main + v2 + table2 + one, "", "", node.Reads, "", ""},
		"none, any version":            {main + v2, "", "", node.DoesNot, "config.toml: config_path is not set", "berth install --containerd"},
		"no file, a process":           {later, "containerd v2.4.2", "", node.DoesNot, "default of containerd 2.4 lists two", "berth install --containerd"},
		"two, with a version that has": {main + v2 + table2 + pair + later, "containerd 1.7.28", "", node.Reads, "", ""},
		"two, the second":              {main + v2 + table2 + pair + later, "containerd 1.7.28", "/etc/docker/certs.d", node.Reads, "", ""},
		"two, any version":             {main + v2 + table2 + pair, "", "", node.CannotTell, "version of containerd", ""},
		"two, ignored":                 {main + v3 + table3 + pair + later, "containerd v2.4.2", "", node.DoesNot, "silently ignores", "berth install --containerd"},
		"another directory":            {main + v2 + table2 + one, "", "/srv/certs.d", node.DoesNot, "it reads /etc/containerd/certs.d, and Berth writes to /srv/certs.d", "certsDir: /etc/containerd/certs.d"},
		"not restarted since":          {main + v2 + table2 + one + started, "containerd 1.7.28", "", node.NotYet, "config.toml was changed after containerd was started", "systemctl restart containerd.service"},
		"a part that is not mounted":   {main + "imports = [\"/etc/cri/*.toml\"]\n" + v2, "", "", node.CannotTell, "imports files from /etc/cri", ""},
		"a part that is not there":     {main + "imports = [\"/etc/cri/*.toml\"]\n" + v2 + later, "containerd 1.7.28", "", node.DoesNot, "config_path is not set", "berth install --containerd"},
		"of another tool":              {"-- root/var/lib/rancher/k3s/agent/etc/containerd/config.toml --\n" + v2, "", "", node.DoesNot, "config_path is not set", "upgrade k3s"},
	} {
		t.Run(name, func(t *testing.T) {
			m := machine(t, c.archive)
			var asked []string
			m.Version = says(c.version, &asked)
			found, err := node.Discover(t.Context(), m)
			if err != nil {
				t.Fatal(err)
			}
			dir := c.dir
			if dir == "" {
				dir = "/etc/containerd/certs.d"
			}
			got, why, remedy := found.ReadsFrom(m, dir)
			if got != c.want || !strings.Contains(why, c.why) || !strings.Contains(remedy, c.remedy) || (c.why == "") != (why == "") {
				t.Errorf("%s: %s; %s", got, why, remedy)
			}
		})
	}
}
