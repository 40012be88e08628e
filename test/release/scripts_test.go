package release

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// stage is a machine of stand-ins: each program that a package's script calls records its call.
type stage struct {
	*testing.T
	dir, log string
}

// newStage makes berth fail at the verb failing; state is systemd's state of the agent.
func newStage(t *testing.T, failing, state string, programs ...string) *stage {
	t.Helper()
	s := &stage{T: t, dir: t.TempDir()}
	s.log = filepath.Join(s.dir, "log")
	if err := os.Mkdir(filepath.Join(s.dir, "systemd"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, program := range append(programs, "berth", "systemctl") {
		script := fmt.Sprintf(`#!/bin/sh
[ "$1" = is-active ] || echo "%[1]s $*" >>%[2]s
case "%[1]s $1" in
"systemctl is-active") echo %[4]s; [ %[4]s = active ] ;;
"berth %[3]s") echo "no, not this" >&2; exit 1 ;;
esac
`, program, s.log, failing, state)
		if err := os.WriteFile(filepath.Join(s.dir, program), []byte(script), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// play runs a script of manifests/packaging with the stand-ins. It returns the calls, and the error
// of the script.
func (s *stage) play(script string, args ...string) (called string, err error) {
	s.Helper()
	raw, err := os.ReadFile(filepath.Join("../../manifests/packaging", script))
	if err != nil {
		s.Fatal(err)
	}
	text := string(raw)
	for path, standIn := range map[string]string{"/usr/bin/berth ": s.dir + "/berth ", "/run/systemd/system": s.dir + "/systemd"} {
		text = strings.ReplaceAll(text, path, standIn)
	}
	if strings.Contains(text, "/usr/bin/berth ") || !strings.Contains(text, s.dir) {
		s.Fatalf("%s has no place for a stand-in:\n%s", script, text)
	}
	cmd := exec.CommandContext(s.Context(), "sh", append([]string{"-s", "--"}, args...)...)
	cmd.Stdin = strings.NewReader(text)
	cmd.Env = []string{"PATH=" + s.dir + ":/usr/bin:/bin"}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err = cmd.Run(); err != nil {
		err = fmt.Errorf("%w: %s", err, &stderr)
	}
	log, readErr := os.ReadFile(s.log)
	if readErr != nil && !os.IsNotExist(readErr) {
		s.Fatal(readErr)
	}
	return string(log), err
}

const (
	stop      = "systemctl stop berth.service\n"
	start     = "systemctl start berth.service\n"
	restore   = "berth restore\n"
	uninstall = "berth uninstall --yes --no-restart\n"
	images    = "systemctl --no-reload disable --now berth-images.service berth-images-load.service\n"
	disable   = "systemctl --no-reload disable berth.service\n"
)

// TestRemovalOfRPM: the script restores the node first and then disables the unit. If the restore
// fails, the package stays, and its agent runs as before.
func TestRemovalOfRPM(t *testing.T) {
	for name, c := range map[string]struct {
		left, state, failing, called string
	}{
		"the last one goes":        {"0", "active", "", stop + restore + uninstall + disable + images},
		"an upgrade":               {"1", "active", "", ""},
		"restore fails":            {"0", "active", "restore", stop + restore + start},
		"uninstall fails":          {"0", "active", "uninstall", stop + restore + uninstall + start},
		"between two starts":       {"0", "activating", "restore", stop + restore + start},
		"switched off, and fails":  {"0", "inactive", "restore", stop + restore},
		"switched off, and it can": {"0", "inactive", "", stop + restore + uninstall + disable + images},
	} {
		t.Run(name, func(t *testing.T) {
			called, err := newStage(t, c.failing, c.state).play("rpm/preun", c.left)
			if called != c.called {
				t.Errorf("called:\n%swant:\n%s", called, c.called)
			}
			if (err != nil) != (c.failing != "") {
				t.Errorf("it ends with %v", err)
			}
			if err != nil && (!strings.Contains(err.Error(), "no, not this") || !strings.Contains(err.Error(), "the package stays")) {
				t.Errorf("it does not say why: %v", err)
			}
		})
	}
}

// TestRemovalOfDeb: the same; dpkg itself calls the script that starts the agent again.
func TestRemovalOfDeb(t *testing.T) {
	const (
		stop  = "deb-systemd-invoke stop berth.service\n"
		start = "deb-systemd-helper --quiet was-enabled berth.service\ndeb-systemd-helper enable berth.service\nsystemctl daemon-reload\ndeb-systemd-invoke start berth.service\nsystemctl try-restart berth-images.service\n"
	)
	for name, c := range map[string]struct {
		why, failing, called string
	}{
		"it goes":         {"remove", "", stop + restore + uninstall + images},
		"an upgrade":      {"upgrade", "", ""},
		"restore fails":   {"remove", "restore", stop + restore + start},
		"uninstall fails": {"remove", "uninstall", stop + restore + uninstall + start},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, c.failing, "active", "deb-systemd-invoke", "deb-systemd-helper")
			called, err := s.play("deb/prerm", c.why)
			if (err != nil) != (c.failing != "") {
				t.Errorf("it ends with %v", err)
			}
			if err != nil {
				if called, err = s.play("deb/postinst", "abort-remove"); err != nil {
					t.Error(err)
				}
			}
			if called != c.called {
				t.Errorf("called:\n%swant:\n%s", called, c.called)
			}
		})
	}
}
