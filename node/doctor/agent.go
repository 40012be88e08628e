package doctor

import (
	"context"
	"fmt"
	"strings"

	"github.com/berth-registry/berth/agent/status"
)

// agent asks the running agent how the node is: it knows what probes have seen
// and what could not be written. What the other checks look at is left to them.
func (e *examination) agent(ctx context.Context) {
	const name = "agent"
	if e.Agent == nil {
		return
	}
	s, err := e.Agent(ctx)
	if err != nil {
		e.add(name, Warn, err.Error(), "start it, unless berth apply is run by other means: without it no mirror is watched and no token is renewed")
		return
	}
	wrong := 0
	for _, a := range s.Alarms {
		if a.Name == "FilesNotRead" {
			continue // that is config-path
		}
		wrong++
		level := Warn
		if a.Severity == status.Critical {
			level = Fail
		}
		what := a.Name
		if a.Subject != "" {
			what += ": " + a.Subject
		}
		e.add(name, level, what+": "+strings.Join(strings.Split(strings.TrimSpace(a.Message), "\n"), "; "), a.URL())
	}
	switch {
	case wrong > 0:
	case !s.Ready.Ready:
		e.add(name, Warn, "it is not ready: "+strings.Join(s.Ready.Reasons, "; "), "see berth status")
	case len(s.Alarms) > 0:
		e.add(name, OK, "it runs, and is ready", "")
	default:
		e.add(name, OK, s.Line(), "")
	}
	e.mirrors(s)
}

// mirrors counts what the agent has probed.
func (e *examination) mirrors(s status.Snapshot) {
	states := map[status.State]int{}
	for _, m := range s.Mirrors {
		for _, endpoint := range m.Endpoints {
			states[endpoint.State]++
		}
	}
	if up, unknown := states[status.Up], states[status.Unknown]; states[status.Down] == 0 && up+unknown > 0 {
		e.add("mirrors", OK, fmt.Sprintf("none is known to be down: %d up, %d not probed", up, unknown), "")
	}
}
