package doctor_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/berth-registry/berth/node/doctor"
)

// The agent's report is among the findings, except for what another check reports.
func TestAgent(t *testing.T) {
	down := doctor.Alarm{Name: "MirrorDown", Subject: "docker.io https://m.corp", Message: "m.corp does not answer\nsince noon\n", URL: "https://docs.corp#mirrordown"}
	notRead := doctor.Alarm{Name: "FilesNotRead", Critical: true}
	for name, c := range map[string]struct {
		report     doctor.AgentReport
		err        error
		level      doctor.Level
		detail, do string
		mirrors    string
	}{
		"no alarm": {
			doctor.AgentReport{Summary: "converged; 3 files", Ready: true, Up: 2, NotProbed: 1}, nil,
			doctor.OK, "converged; 3 files", "", "none is known to be down: 2 up, 1 not probed",
		},
		"no answer": {doctor.AgentReport{}, errors.New("no agent answers at 127.0.0.1:9474"), doctor.Warn, "no agent answers at 127.0.0.1:9474", "start it", ""},
		"a warning": {
			doctor.AgentReport{Ready: true, Alarms: []doctor.Alarm{down, notRead}, Up: 1, Down: 1}, nil,
			doctor.Warn, "MirrorDown: docker.io https://m.corp: m.corp does not answer; since noon", "https://docs.corp#mirrordown", "",
		},
		"a critical alarm": {
			doctor.AgentReport{Ready: true, Alarms: []doctor.Alarm{{Name: "ConvergeFailing", Message: "no space left", Critical: true}}}, nil,
			doctor.Fail, "ConvergeFailing: no space left", "", "",
		},
		"files that are not read": {doctor.AgentReport{Summary: "1 alarm", Ready: true, Alarms: []doctor.Alarm{notRead}}, nil, doctor.OK, "it runs, and is ready", "", ""},
		"starting":                {doctor.AgentReport{Reasons: []string{"a", "b"}}, nil, doctor.Warn, "it is not ready: a; b", "see berth status", ""},
	} {
		t.Run(name, func(t *testing.T) {
			p := bed(t, running)
			p.Agent = func(context.Context) (doctor.AgentReport, error) { return c.report, c.err }
			all := doctor.Examine(t.Context(), p)
			found := find(all, "agent")
			if len(found) != 1 || found[0].Level != c.level || found[0].Detail != c.detail || !strings.HasPrefix(found[0].Remedy, c.do) {
				t.Errorf("%+v", found)
			}
			var mirrors string
			for _, f := range find(all, "mirrors") {
				mirrors += f.Detail
			}
			if mirrors != c.mirrors {
				t.Errorf("mirrors: %q", mirrors)
			}
		})
	}
}
