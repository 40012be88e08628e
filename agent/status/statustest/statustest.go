// Package statustest has snapshots for tests: a healthy agent, one with every kind of trouble, one
// whose texts try to break out of every place where they are shown, and large ones. Only tests
// import it.
package statustest

import (
	"fmt"
	"strings"
	"time"

	"github.com/berth-registry/berth/agent/status"
)

// Now is when the snapshots were taken.
func Now() time.Time { return time.Date(2026, 3, 14, 15, 9, 26, 0, time.UTC) }

func ago(d time.Duration) time.Time { return Now().Add(-d) }

// Healthy is an agent without problems.
func Healthy() status.Snapshot {
	return status.Snapshot{
		Version: "v0.4.0", Node: "node-17", Started: ago(75 * time.Hour), Time: Now(),
		Ready: status.Readiness{Ready: true}, Phase: status.Converged, PhaseSince: ago(74 * time.Hour),
		Config: status.Config{Path: "/etc/berth/config.yaml", Hash: "3f5a9c01d2e4", Loaded: ago(26 * time.Hour), OK: true, Since: ago(75 * time.Hour), Upstreams: 3},
		Converge: status.Converge{
			Last: ago(9 * time.Second), LastSuccess: ago(9 * time.Second), Duration: status.Seconds(3 * time.Millisecond),
			Runs: 9123, Watching: status.Inotify, NextResync: Now().Add(21 * time.Second),
		},
		Containerd: &status.Containerd{Version: "2.4.2", ConfigPath: "/etc/containerd/config.toml", Reads: status.ReadsYes, Since: ago(75 * time.Hour)},
		Mirrors: []status.Mirror{
			{Upstream: "docker.io", Directory: "/etc/containerd/certs.d/docker.io", Fallback: "docker.io", Endpoints: []status.Endpoint{
				endpoint("https://111122223333.dkr.ecr.us-east-1.amazonaws.com/v2/docker-hub", func(e *status.Endpoint) {
					e.Login, e.Basic, e.Redirect, e.HTTPStatus = "ECR token", status.BasicAccepted, status.RedirectOther, 401
				}),
				endpoint("https://harbor.corp:8443/v2/hub", func(e *status.Endpoint) {
					e.Login, e.Basic = "login of harbor.corp:8443", status.BasicAccepted
				}),
			}},
			{Upstream: "quay.io", Directory: "/etc/containerd/certs.d/quay.io", Endpoints: []status.Endpoint{
				endpoint("https://mirror.corp:5000", nil),
			}},
			{Upstream: "*", Directory: "/etc/containerd/certs.d/_default", Fallback: "each registry itself", Endpoints: []status.Endpoint{
				endpoint("http://10.0.0.7:5000", nil),
			}},
		},
		Tokens: []status.Token{{
			Service: "ecr", Region: "us-east-1", Identity: "profile", Source: "instance profile",
			Hosts: []string{"111122223333.dkr.ecr.us-east-1.amazonaws.com"}, Valid: true,
			Issued: ago(2 * time.Hour), Expires: Now().Add(10 * time.Hour), NextRenewal: Now().Add(4 * time.Hour), Renewals: 13,
			Failures: map[string]uint64{"access_denied": 0, "temporary": 1},
		}},
		Files:     status.Files{Managed: 3, Written: 16, Repaired: 0, Removed: 1},
		DockerHub: &status.DockerHub{Limit: 100, Remaining: 76, Window: status.Seconds(6 * time.Hour), Time: ago(20 * time.Minute)},
	}
}

func endpoint(url string, change func(*status.Endpoint)) status.Endpoint {
	e := status.Endpoint{
		URL: url, State: status.Up, Since: ago(50 * time.Hour), LastProbe: ago(7 * time.Second),
		ProbeDuration: status.Seconds(12 * time.Millisecond), HTTPStatus: 200, Probes: 17990,
		Failures: map[string]uint64{"timeout": 0, "dial": 0}, RequestsPerHour: 240,
	}
	if change != nil {
		change(&e)
	}
	return e
}

// Rich is an agent in trouble: it has every state and most alarms.
func Rich() status.Snapshot {
	s := Healthy()
	s.Pool = "gpu"
	s.Ready = status.Readiness{Reasons: []string{
		"config: /etc/berth/config.yaml:14:9: mirrors[0].endpoints[1].url: \"ftp://mirror.corp\": scheme must be http or https",
		"converge: /etc/containerd/certs.d/quay.io/hosts.toml: no space left on device",
	}}
	s.Config.OK, s.Config.Stale, s.Config.Since = false, true, ago(4*time.Minute)
	s.Config.Error = "/etc/berth/config.yaml:14:9: mirrors[0].endpoints[1].url: \"ftp://mirror.corp\": scheme must be http or https\n" +
		"/etc/berth/config.yaml:31:3: registries[2].host: \"harbor.corp\" is there twice, first in line 27"
	s.Config.Warnings = []string{"/etc/berth/config.yaml:22:3: registries[0].password: others can read this file (mode 0644); use passwordFile, or chmod 0600"}
	s.Notices = []string{"a plain registry behind \"*\" cannot tell quay.io/a/b from ghcr.io/a/b"}
	s.Converge.Error = "/etc/containerd/certs.d/quay.io/hosts.toml: no space left on device"
	s.Converge.Last, s.Converge.LastSuccess, s.Converge.FailingSince, s.Converge.Failures = ago(4*time.Second), ago(61*time.Second), ago(40*time.Second), 3
	s.Converge.Watching = "timer: inotify: too many open files"
	s.Containerd = &status.Containerd{
		Version: "2.4.2", ConfigPath: "/etc/containerd/config.toml", Reads: status.ReadsNo, Since: ago(5 * time.Minute),
		Why:    "/etc/containerd/config.toml: config_path is not set: hosts.toml files are not read",
		Remedy: "run \"berth install --containerd\"",
	}
	s.Docker = &status.Docker{
		Version: "29.7.2", CertsDir: "/etc/docker/certs.d", Reads: status.ReadsUnknown, Written: true,
		Why: "its image store is not known: /etc/docker/daemon.json was changed after dockerd was started, and its API does not answer (/run/docker.sock)",
	}

	s.ConfigJSON = &status.ConfigJSON{
		Path: "/var/lib/kubelet/config.json", Why: "/root/.docker/config.json: kubelet takes its logins from this file",
	}

	down := func(e *status.Endpoint) {
		e.State, e.Since, e.HTTPStatus, e.Error = status.Down, ago(11*time.Minute), 0, "no connection within 2s"
		e.Failures = map[string]uint64{"timeout": 44, "dial": 0, "http_5xx": 2}
	}
	s.Mirrors[0].Endpoints[1] = endpoint("https://harbor.corp:8443/v2/hub", func(e *status.Endpoint) {
		down(e)
		e.Withdrawn, e.Login, e.Basic = true, "login of harbor.corp:8443", status.BasicAccepted
	})
	s.Mirrors[0].Endpoints = append(s.Mirrors[0].Endpoints, endpoint("https://s3.corp/v2/hub", func(e *status.Endpoint) {
		e.Login, e.Redirect, e.Note = "login of s3.corp", status.RedirectOtherPort, "downloads are redirected to s3.corp:9000"
	}), endpoint("https://gitea.corp", func(e *status.Endpoint) {
		e.Login, e.Basic, e.HTTPStatus = "login of gitea.corp", status.BasicRefused, 401
	}))
	down(&s.Mirrors[1].Endpoints[0])
	s.Mirrors[2].Endpoints[0] = status.Endpoint{URL: "http://10.0.0.7:5000", State: status.Unknown}
	s.Mirrors = append(s.Mirrors, status.Mirror{
		Upstream: "ghcr.io", Directory: "/etc/containerd/certs.d/ghcr.io", Fallback: "ghcr.io",
		Endpoints: []status.Endpoint{endpoint("https://mirror.corp:5000/v2/ghcr", down)},
	})

	s.Registries = []status.Endpoint{endpoint("https://registry.corp:5555", func(e *status.Endpoint) {
		e.Login, e.Basic, e.Redirect = "login of registry.corp:5555", status.BasicAccepted, status.RedirectNone
	})}

	s.Tokens = append(s.Tokens, status.Token{
		Service: "ecr", Region: "eu-west-1", Identity: "profile", Source: "instance profile", Valid: true,
		Hosts:  []string{"111122223333.dkr.ecr.eu-west-1.amazonaws.com", "images.corp"},
		Issued: ago(7 * time.Hour), Expires: Now().Add(5 * time.Hour), NextRenewal: Now().Add(3 * time.Minute), Renewals: 9,
		Failures: map[string]uint64{"access_denied": 14, "temporary": 2}, ErrorTime: ago(2 * time.Minute), FailingSince: ago(70 * time.Minute),
		Error: "instance profile: ECR in eu-west-1 denies access (AccessDeniedException): User: arn:aws:sts::111122223333:assumed-role/node/i-0abc is not authorized to perform: ecr:GetAuthorizationToken",
	}, status.Token{
		Service: "ecr", Region: "ap-southeast-2", Identity: "k1b2c3d4e5", Hosts: []string{"444455556666.dkr.ecr.ap-southeast-2.amazonaws.com"},
		Failures: map[string]uint64{"no_keys": 8, "no_role": 8}, Error: "instance profile: no role\nstatic keys: none are set",
		ErrorTime: ago(20 * time.Second), FailingSince: ago(9 * time.Minute), NextRenewal: Now().Add(13 * time.Second),
	}, status.Token{
		Service: "ecr-public", Region: "us-east-1", Identity: "profile", Adopted: true, NextRenewal: Now(),
	})
	s.Files = status.Files{
		Managed: 4, Written: 29, Repaired: 12, Removed: 1,
		Conflicts: []status.FileNote{
			{Path: "/etc/containerd/certs.d/registry.k8s.io/hosts.toml", Reason: "not written by berth; remove it, or set containerd.onConflict: adopt", Since: ago(3 * time.Hour)},
			{Path: "/etc/containerd/certs.d/quay.io/hosts.toml", Reason: "repaired 10 times within 5 minutes: another program writes it too", Since: ago(2 * time.Minute)},
		},
		Skipped: []status.FileNote{{Path: "/etc/containerd/certs.d/ghcr.io/hosts.toml", Reason: "changed while it was looked at"}},
		Saved: []status.FileNote{
			{Path: "/etc/containerd/certs.d/quay.io/hosts.toml", Reason: "edited, kept as /var/lib/berth/saved/quay.io-hosts.toml-5d41402a", Since: ago(6 * time.Minute)},
		},
	}
	s.DockerHub.Remaining = 4
	s.Errors = []status.Event{
		{Time: ago(61 * time.Minute), Message: "ecr eu-west-1: AccessDeniedException", Count: 14},
		{Time: ago(4 * time.Second), Message: "/etc/containerd/certs.d/quay.io/hosts.toml: no space left on device", Count: 3},
		{Time: ago(2 * time.Second), Message: "one\ntwo", Count: 1},
	}
	return s
}

// Large is an agent with n upstreams of two endpoints each, some of them down.
func Large(n int) status.Snapshot {
	s := Healthy()
	s.Mirrors = nil
	for i := range n {
		m := status.Mirror{Upstream: fmt.Sprintf("registry-%03d.example.com", i), Fallback: fmt.Sprintf("registry-%03d.example.com", i)}
		m.Directory = "/etc/containerd/certs.d/" + m.Upstream
		for j := range 2 {
			m.Endpoints = append(m.Endpoints, endpoint(fmt.Sprintf("https://mirror-%d.corp/v2/%s", j, m.Upstream), func(e *status.Endpoint) {
				if i%10 == 3 && j == 0 {
					e.State, e.Withdrawn, e.Error, e.Failures = status.Down, true, "no connection within 2s", map[string]uint64{"dial": 9}
				}
			}))
		}
		s.Mirrors = append(s.Mirrors, m)
	}
	s.Config.Upstreams, s.Files.Managed = n, n
	return s
}

// Waiting is a second agent on a node.
func Waiting() status.Snapshot {
	return status.Snapshot{
		Version: "v0.4.0", Node: "node-17", Started: ago(time.Minute), Time: Now(), Phase: status.Waiting, PhaseSince: ago(time.Minute),
		Ready: status.Readiness{Reasons: []string{"another agent runs on this machine"}},
	}
}

// Script is a text that would run if it became part of a page.
const Script = `"'><script>window.hacked=1</script><img src=http://evil.example/x onerror=window.hacked=1><!-- </style></title>{{.}}` + "`"

// Hostile is a snapshot in which every text is an attack or very long.
func Hostile() status.Snapshot {
	s := Rich()
	long := strings.Repeat("w", 300) + "." + strings.Repeat("registry", 40)
	control := "\x1b[31m\x1b]0;title\a\r\x00\u202etxt.\u2028\xff\xfe"
	s.Node, s.Version = Script+long, Script+control
	s.Phase = status.Phase(Script)
	s.Ready.Reasons = []string{Script, long, control, "a\nb"}
	s.Pool, s.Config.Hash = Script, control
	s.Config.Path, s.Config.Error = "/etc/"+long, Script+"\n"+control+"\n"+long
	s.Config.Warnings, s.Notices = []string{Script, long}, []string{Script, control}
	s.Converge.Error, s.Converge.Watching = Script, "timer: "+Script+long
	s.Docker = &status.Docker{Version: Script, CertsDir: "/etc/" + long, Reads: status.ReadsNo, Why: Script + control}
	s.ConfigJSON = &status.ConfigJSON{Path: "/var/" + long, Hosts: []string{Script, long}, Why: Script + control}
	s.Containerd = &status.Containerd{Version: Script, ConfigPath: "/etc/" + long, Reads: status.ReadsNo, Why: Script + control, Remedy: Script + long}
	for i := range s.Mirrors {
		m := &s.Mirrors[i]
		m.Upstream, m.Directory, m.Fallback = fmt.Sprint(i)+Script+long, long+Script, Script
		for j := range m.Endpoints {
			e := &m.Endpoints[j]
			e.URL = fmt.Sprintf("javascript:window.hacked=%d//%s%s", j, long, Script)
			e.Error, e.Note, e.Login = Script+control, long, Script
			e.Failures = map[string]uint64{Script: 3, long: 1, "": 2, "timeout": 7}
		}
	}
	s.Mirrors[0].Endpoints[0].State = status.State(Script)
	s.Mirrors[0].Endpoints[0].Basic, s.Mirrors[0].Endpoints[0].Redirect = status.Basic(Script), status.Redirect(Script)
	for i := range s.Tokens {
		t := &s.Tokens[i]
		t.Service, t.Region, t.Identity, t.Source = Script, long, control, Script
		t.Hosts, t.Error = []string{Script, long}, control+Script
		t.Failures = map[string]uint64{Script: 1}
	}
	note := []status.FileNote{{Path: Script + "/" + long, Reason: Script + control, Since: Now()}, {Path: control}}
	s.Files.Conflicts, s.Files.Skipped, s.Files.Saved = note, note, note
	s.DockerHub.Error = Script
	s.Errors = []status.Event{{Message: Script + long, Count: 2}, {Time: Now(), Message: control}, {Message: strings.Repeat("x ", 40000)}}
	s.Alarms = []status.Alarm{{Name: Script, Severity: status.Severity(Script), Subject: Script, Message: Script, Doc: "javascript:window.hacked=1"}}
	return s
}
