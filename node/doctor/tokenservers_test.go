package doctor_test

import (
	"strings"
	"testing"

	"github.com/berth-registry/berth/node"
	"github.com/berth-registry/berth/node/doctor"
	"github.com/berth-registry/berth/test/nodetest"
)

// The token servers that were probed, by the release of the node's containerd.
func TestTokenServers(t *testing.T) {
	const learned = `-- root/var/lib/berth/learned.json --
{"facts": [
 {"url": "https://own.corp/v2", "basic": "refused", "realm": "https://own.corp"},
 {"url": "https://other.corp/v2", "basic": "refused", "realm": "https://auth.corp"},
 {"url": "https://listed.corp/v2", "basic": "refused", "realm": "https://auth.corp"},
 {"url": "https://basic.corp/v2", "basic": "accepted"}
]}
-- config.yaml --
apiVersion: berth/v1alpha1
kind: RegistryConfig
registries:
- {host: own.corp, username: u, password: p}
- {host: other.corp, username: u, password: p}
- {host: listed.corp, username: u, password: p, tokenRealms: [auth.corp]}
- {host: basic.corp, username: u, password: p}
`
	for release, want := range map[string]map[string]doctor.Level{
		"2.4.2":  {"own.corp": doctor.OK, "other.corp": doctor.Warn, "listed.corp": doctor.OK},
		"1.7.28": {"own.corp": doctor.Warn, "other.corp": doctor.Warn, "listed.corp": doctor.Warn},
	} {
		p := bed(t, running+learned)
		nodetest.SetRelease(&p.Machine, release)
		found := find(doctor.Examine(t.Context(), p), "token-servers")
		if len(found) != len(want) {
			t.Errorf("%s: %+v", release, found)
		}
		for _, f := range found {
			host, _, _ := strings.Cut(strings.TrimPrefix(f.Detail, "containerd: https://"), " ")
			if f.Level != want[host] {
				t.Errorf("%s: %+v, want %s", release, f, want[host])
			}
			if host == "other.corp" && strings.Contains(f.Remedy, `tokenRealms: ["auth.corp"]`) != (release == "2.4.2") {
				t.Errorf("%s: the remedy is %q", release, f.Remedy)
			}
		}
	}
}

// Docker requests tokens without the header, so its rows come with each release of containerd and
// with a token server that the config lists.
func TestTokenServersOfDocker(t *testing.T) {
	const host = `-- root/usr/bin/dockerd --
#!/bin/sh
echo 'Docker version 29.7.2, build x'
-- proc/1/stat --
-- root/var/lib/berth/learned.json --
{"facts": [
 {"url": "https://own.corp/v2", "basic": "refused", "realm": "https://own.corp"},
 {"url": "https://listed.corp/v2", "basic": "refused", "realm": "https://auth.corp"},
 {"url": "https://basic.corp/v2", "basic": "accepted"}
]}
-- config.yaml --
apiVersion: berth/v1alpha1
kind: RegistryConfig
`
	const registries = `registries:
- {host: own.corp, username: u, password: p}
- {host: listed.corp, username: u, password: p, tokenRealms: [auth.corp]}
- {host: basic.corp, username: u, password: p}
`
	for mode, want := range map[string]int{"auto": 2, "off": 0} {
		p := bed(t, host+"docker: {mode: \""+mode+"\"}\n"+registries)
		p.Machine.Version = node.AskVersion
		rows := 0
		for _, f := range find(doctor.Examine(t.Context(), p), "token-servers") {
			if !strings.HasPrefix(f.Detail, "Docker: ") {
				continue
			}
			rows++
			if f.Level != doctor.Warn || !strings.Contains(f.Detail, "Docker requests them without the header") ||
				!strings.Contains(f.Remedy, "docker login") || !strings.Contains(f.Remedy, "docker-credential-berth") {
				t.Errorf("%s: %+v", mode, f)
			}
		}
		if rows != want {
			t.Errorf("%s: %d rows of Docker, want %d", mode, rows, want)
		}
	}
}
