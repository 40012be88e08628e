package status_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/berth-registry/berth/agent/status"
	"github.com/berth-registry/berth/agent/status/statustest"
)

// names lists "Name severity" of each alarm.
func names(s status.Snapshot) []string {
	got := []string{}
	for _, a := range status.Alarms(s) {
		got = append(got, a.Name+" "+string(a.Severity))
	}
	return got
}

func TestAlarms(t *testing.T) {
	now := statustest.Now()
	first := func(s *status.Snapshot) *status.Endpoint { return &s.Mirrors[0].Endpoints[0] }
	failing := func(s *status.Snapshot, left, since time.Duration) {
		token := &s.Tokens[0]
		token.Error, token.FailingSince = "denied", now.Add(-since)
		token.Expires, token.Issued = now.Add(left), now.Add(left-12*time.Hour)
	}
	cases := []struct {
		name   string
		change func(*status.Snapshot)
		want   string // alarms, joined by commas
		says   string
	}{
		{"all is well", func(*status.Snapshot) {}, "", ""},
		{"last good config in use", func(s *status.Snapshot) {
			s.Config.OK, s.Config.Stale, s.Config.Error = false, true, "line 1\nline 2"
		}, "ConfigInvalid critical", "line 1\nline 2"},
		{"never a good config", func(s *status.Snapshot) { s.Config.OK, s.Config.Error = false, "no such file" }, "NoConfig critical", "no such file"},
		{"config not read yet", func(s *status.Snapshot) { s.Config = status.Config{} }, "", ""},
		{"config of an idle agent", func(s *status.Snapshot) {
			s.Config.OK, s.Config.Error, s.Phase = false, "no such file", status.Restored
		}, "NodeRestored warning", "--restore"},
		{"converge fails", func(s *status.Snapshot) { s.Converge.Error = "disk full" }, "ConvergeFailing critical", "disk full"},
		{"containerd reads no file", func(s *status.Snapshot) {
			s.Containerd = &status.Containerd{Reads: status.ReadsNo, Why: "config_path is not set", Remedy: "run \"berth install --containerd\""}
		}, "FilesNotRead critical", `containerd does not read these files: config_path is not set; run "berth install`},
		{"containerd was not restarted", func(s *status.Snapshot) { s.Containerd = &status.Containerd{Reads: status.ReadsRestart} }, "FilesNotRead warning", "may not read"},
		{"containerd is not seen", func(s *status.Snapshot) { s.Containerd = &status.Containerd{Reads: status.ReadsUnknown} }, "", ""},
		{"containerd reads them", func(s *status.Snapshot) { s.Containerd = &status.Containerd{Reads: status.ReadsYes} }, "", ""},
		{"containerd reads none, and none is there", func(s *status.Snapshot) {
			s.Containerd, s.Files.Managed = &status.Containerd{Reads: status.ReadsNo}, 1
		}, "", ""},
		{"no token yet", func(s *status.Snapshot) { s.Tokens[0] = status.Token{Service: "ecr"} }, "", ""},
		{"no token to be had", func(s *status.Snapshot) {
			s.Tokens[0] = status.Token{Service: "ecr", Region: "us-east-1", Error: "denied"}
		}, "TokenMissing critical", "denied"},
		{"token expired", func(s *status.Snapshot) {
			s.Tokens[0].Valid, s.Tokens[0].Expires = false, now
		}, "TokenMissing critical", "expired"},
		{"no login from a credential helper", func(s *status.Snapshot) {
			s.Tokens[0] = status.Token{
				Service: "credential-helper", Region: "registry.corp", Identity: "corp", Error: "exit code 1",
			}
		}, "TokenMissing critical", "exit code 1"},
		{"a renewal failed once", func(s *status.Snapshot) { failing(s, 6*time.Hour, time.Minute) }, "", ""},
		{"renewal fails for long", func(s *status.Snapshot) { failing(s, 6*time.Hour, 5*time.Minute) }, "TokenExpiring warning", "2026-03-14T21:09:26Z: denied"},
		{"renewal fails late", func(s *status.Snapshot) { failing(s, 3*time.Hour, time.Minute) }, "TokenExpiring warning", "denied"},
		{"renewal of unknown age fails", func(s *status.Snapshot) {
			failing(s, 6*time.Hour, time.Minute)
			s.Tokens[0].Issued = time.Time{}
		}, "", ""},
		{"one mirror of two", func(s *status.Snapshot) {
			first(s).State, first(s).Error, first(s).Withdrawn = status.Down, "refused", true
		}, "MirrorDown warning", "refused; left out of hosts.toml"},
		{"one mirror still listed", func(s *status.Snapshot) { first(s).State = status.Down }, "MirrorDown warning", "HTTP status 401; still in hosts.toml"},
		{"the other one unknown", func(s *status.Snapshot) {
			first(s).State, s.Mirrors[0].Endpoints[1].State = status.Down, status.Unknown
		}, "MirrorDown warning", ""},
		{"all mirrors with fallback", func(s *status.Snapshot) {
			for i := range s.Mirrors[0].Endpoints {
				s.Mirrors[0].Endpoints[i].State = status.Down
			}
		}, "AllMirrorsDown warning", "pulled from docker.io\nhttps://1111"},
		{"all mirrors without fallback", func(s *status.Snapshot) {
			s.Mirrors[1].Endpoints[0].State, s.Mirrors[1].Endpoints[0].HTTPStatus = status.Down, 0
		}, "AllMirrorsDown critical", "pulls fail, because the config allows no fallback\nhttps://mirror.corp:5000: no answer"},
		{"all mirrors and their fallback", func(s *status.Snapshot) {
			for i := range s.Mirrors[0].Endpoints {
				s.Mirrors[0].Endpoints[i].State = status.Down
			}
			s.Mirrors[0].FallbackDown = true
		}, "AllMirrorsDown critical", "pulls fail, because docker.io does not answer either\nhttps://1111"},
		{"a fallback that is not needed", func(s *status.Snapshot) { s.Mirrors[0].FallbackDown = true }, "", ""},
		{"an upstream without mirrors", func(s *status.Snapshot) { s.Mirrors[0].Endpoints = nil }, "", ""},
		{"login refused, twice on one endpoint", func(s *status.Snapshot) {
			first(s).Basic, s.Mirrors[1].Endpoints[0] = status.BasicRefused, *first(s)
			s.Mirrors[1].Endpoints[0].Basic = status.BasicRefused
		}, "LoginRefused warning", "ECR token is not accepted"},
		{"login of a registry that images name", func(s *status.Snapshot) {
			s.Registries = []status.Endpoint{{URL: "https://r.corp", Basic: status.BasicWrong, Login: "login of r.corp"}}
		}, "LoginRefused warning", "login of r.corp is refused: wrong username"},
		{"login of a registry that is a mirror, too", func(s *status.Snapshot) {
			first(s).Basic = status.BasicWrong
			s.Registries = []status.Endpoint{*first(s)}
		}, "LoginRefused warning", "is refused"},
		{"a registry redirects to another port", func(s *status.Snapshot) {
			s.Registries = []status.Endpoint{{URL: "https://r.corp", Redirect: status.RedirectOtherPort}}
		}, "UnsafeRedirect warning", "another port"},
		{"redirect to another port", func(s *status.Snapshot) { first(s).Redirect = status.RedirectOtherPort }, "UnsafeRedirect warning", "another port"},
		{"foreign files", func(s *status.Snapshot) {
			s.Files.Conflicts = []status.FileNote{{Path: "/a", Reason: "foreign"}, {Path: "/b"}}
		}, "FileConflict warning,FileConflict warning", "foreign"},
		{"no inotify", func(s *status.Snapshot) { s.Converge.Watching = "timer: too many" }, "NotWatching warning", "too many"},
		{"Docker Hub nearly used up", func(s *status.Snapshot) { s.DockerHub.Remaining = 10 }, "DockerHubLimit warning", "10 of 100"},
		{"Docker Hub unlimited", func(s *status.Snapshot) { s.DockerHub.Remaining, s.DockerHub.Limit = 0, 0 }, "", ""},
		{"Docker Hub not asked", func(s *status.Snapshot) { s.DockerHub = nil }, "", ""},
		{"second agent", func(s *status.Snapshot) { s.Phase = status.Waiting }, "AnotherAgent warning", "takes over"},
		{"restored", func(s *status.Snapshot) { s.Phase = status.Restored }, "NodeRestored warning", "--restore"},
		{"critical ones first", func(s *status.Snapshot) {
			s.Converge.Watching, s.Converge.Error, s.Files.Conflicts = "timer: x", "disk full", []status.FileNote{{Path: "/a"}}
		}, "ConvergeFailing critical,FileConflict warning,NotWatching warning", "disk full"},
	}
	raised := map[string]bool{}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := statustest.Healthy()
			c.change(&s)
			if got := strings.Join(names(s), ","); got != c.want {
				t.Fatalf("alarms %q, want %q", got, c.want)
			}
			all := status.Alarms(s)
			if len(all) > 0 && !strings.Contains(all[0].Message, c.says) {
				t.Errorf("says %q, want %q", all[0].Message, c.says)
			}
			for _, a := range all {
				raised[a.Name+" "+string(a.Severity)] = true
				if a.Doc != status.Docs+"#"+strings.ToLower(a.Name) {
					t.Errorf("doc %q", a.Doc)
				}
			}
			// Time alone changes no message, so that a log can detect new alarms.
			s.Time = s.Time.Add(time.Second)
			if later := status.Alarms(s); !reflect.DeepEqual(later, all) {
				t.Errorf("a second later: %+v, before %+v", later, all)
			}
		})
	}
	for _, k := range status.Kinds() {
		for _, severity := range k.Severities {
			alarm := k.Name + " " + string(severity)
			if !raised[alarm] {
				t.Errorf("no case raises %s", alarm)
			}
			delete(raised, alarm)
		}
		if !strings.HasSuffix(k.Meaning, ".") {
			t.Errorf("%s: %q is no sentence", k.Name, k.Meaning)
		}
	}
	for alarm := range raised {
		t.Errorf("%s is not one of Kinds, so no metric counts it", alarm)
	}
}

// The handler shows the alarms that it derives, not those in the snapshot that it gets.
func TestHandlerDerivesAlarms(t *testing.T) {
	s := statustest.Healthy()
	s.Alarms = []status.Alarm{{Name: "MadeUp"}}
	s.Converge.Error = "disk full"
	_, body := serve(t, s, "GET", "/status")
	got, err := status.Decode([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	if n := names(got); len(got.Alarms) != 1 || !slices.Equal(n, []string{"ConvergeFailing critical"}) {
		t.Errorf("alarms %+v", got.Alarms)
	}
}

func TestLine(t *testing.T) {
	rich := statustest.Rich()
	for want, s := range map[string]status.Snapshot{
		"starting, not ready; 0 files, 0 upstreams, no alarm":                {},
		"converged; 3 files, 3 upstreams, no alarm":                          statustest.Healthy(),
		"converged, not ready; 4 files, 3 upstreams, 14 alarms (5 critical)": rich,
		"converged; 3 files, 3 upstreams, 1 critical alarm": func() status.Snapshot {
			s := statustest.Healthy()
			s.Containerd.Reads = status.ReadsNo
			return s
		}(),
		"waiting for another agent, not ready; 0 files, 0 upstreams, 1 alarm": statustest.Waiting(),
	} {
		if got := s.Line(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
