package doctor

import (
	"context"
	"fmt"
	"strings"
)

// AgentReport is what doctor reads of the running agent's status.
type AgentReport struct {
	Summary string // one line
	Ready   bool
	Reasons []string // why it is not ready
	Alarms  []Alarm
	// Up, Down and NotProbed count the endpoints of all mirrors.
	Up, Down, NotProbed int
}

// Alarm is an alarm of the agent.
type Alarm struct {
	Name, Subject, Message string
	Critical               bool
	URL                    string // of its page
}

// agent reports what only the running agent knows: what probes have found and which
// files could not be written.
func (e *examination) agent(ctx context.Context) {
	const name = "agent"
	if e.Agent == nil {
		return
	}
	r, err := e.Agent(ctx)
	if err != nil {
		e.add(name, Warn, err.Error(), "start it, unless something else runs berth apply: without it no mirror is probed and no token is renewed")
		return
	}
	wrong := 0
	for _, a := range r.Alarms {
		if a.Name == "FilesNotRead" {
			continue // the check config-path reports it
		}
		wrong++
		level := Warn
		if a.Critical {
			level = Fail
		}
		what := a.Name
		if a.Subject != "" {
			what += ": " + a.Subject
		}
		e.add(name, level, what+": "+strings.Join(strings.Split(strings.TrimSpace(a.Message), "\n"), "; "), a.URL)
	}
	switch {
	case wrong > 0:
	case !r.Ready:
		e.add(name, Warn, "it is not ready: "+strings.Join(r.Reasons, "; "), "see berth status")
	case len(r.Alarms) > 0:
		e.add(name, OK, "it runs, and is ready", "")
	default:
		e.add(name, OK, r.Summary, "")
	}
	if r.Down == 0 && r.Up+r.NotProbed > 0 {
		e.add("mirrors", OK, fmt.Sprintf("none is known to be down: %d up, %d not probed", r.Up, r.NotProbed), "")
	}
}
