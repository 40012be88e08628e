package agent

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/berth-registry/berth/agent/health"
	"github.com/berth-registry/berth/agent/status"
	"github.com/berth-registry/berth/agent/tokens"
	"github.com/berth-registry/berth/node/desired"
	"github.com/berth-registry/berth/node/probestate"
)

// Snapshot returns the state of the agent at this moment. It may be called by several
// goroutines.
func (a *Agent) Snapshot() status.Snapshot {
	v := a.published.Load()
	s := v.snapshot
	s.Time = time.Now()
	s.Ready = ready(s)
	if s.Phase == status.Restored || s.Phase == status.Waiting {
		return s
	}
	probed := map[string]health.Status{}
	for _, p := range a.prober.Status() {
		for _, u := range p.URLs {
			if _, ok := probed[u]; !ok {
				probed[u] = p
			}
		}
	}
	facts := a.prober.Learned()
	for _, row := range v.mirrors {
		m := row.mirror
		m.Endpoints = slices.Clone(m.Endpoints)
		for i := range m.Endpoints {
			if p, ok := probed[m.Endpoints[i].URL]; ok {
				setProbe(&m.Endpoints[i], p)
			}
			if t := row.targets[i]; !t.ProbeHeader.IsZero() {
				setFact(&m.Endpoints[i], facts, t)
			}
		}
		for _, t := range row.targets[len(m.Endpoints):] {
			alive, known := a.prober.Alive(t.Host.URL)
			m.FallbackDown = known && !alive
		}
		s.Mirrors = append(s.Mirrors, m)
	}
	for _, row := range v.direct {
		r := row.registry
		if p, ok := probed[r.URL]; ok {
			setProbe(&r, p)
		}
		setFact(&r, facts, row.target)
		s.Registries = append(s.Registries, r)
	}
	for _, k := range a.refresher.Status() {
		s.Tokens = append(s.Tokens, tokenStatus(k))
	}
	s.DockerHub = a.hub()
	s.Containerd = a.containerd.lastResult()
	return s
}

func setProbe(e *status.Endpoint, p health.Status) {
	e.State = status.Unknown
	if p.Known {
		e.State = status.Down
		if p.Up {
			e.State = status.Up
		}
	}
	e.Since, e.LastProbe, e.ProbeDuration = p.Since, p.LastProbe, status.Seconds(p.Duration)
	e.HTTPStatus, e.Error, e.Probes, e.RequestsPerHour = p.HTTPStatus, p.LastError, p.Probes, p.RequestsPerHour
	if p.Reason == "" {
		e.Error = ""
	}
	e.Failures = map[string]uint64{}
	for reason, n := range p.Failed {
		e.Failures[string(reason)] = n
	}
}

func setFact(e *status.Endpoint, facts []probestate.Fact, t desired.Target) {
	f, ok := probestate.ParseFact(facts, t.Host.URL)
	if !ok {
		return
	}
	switch f.Basic {
	case probestate.Accepted:
		e.Basic = status.BasicAccepted
	case probestate.Refused:
		e.Basic = status.BasicRefused
		if t.Channel.Serves {
			e.Basic = status.BasicToken
		}
	}
	e.LeftOut = t.Channel.Reason()
	e.TokenServer = t.Channel.TokenServer
	if t.Channel.Untrusted {
		e.Basic = status.BasicRefused
	}
	if f.WrongLogin {
		e.Basic = status.BasicWrong
	}
	switch f.Redirect {
	case probestate.NoRedirect:
		e.Redirect = status.RedirectNone
	case probestate.OtherHost:
		e.Redirect = status.RedirectOther
	case probestate.OtherPort, probestate.Subdomain:
		e.Redirect = status.RedirectOtherPort
		e.Note = fmt.Sprintf("layers come from %s", f.To)
	}
	if f.Error != "" {
		e.Note = strings.TrimPrefix(e.Note+"; "+f.Error, "; ")
	}
}

func tokenStatus(k tokens.Status) status.Token {
	return status.Token{
		Service: k.Service, Region: k.Region, Identity: k.Identity, Source: k.Source, Hosts: k.Hosts, Adopted: k.Adopted,
		Valid: k.Valid, Issued: k.Issued, Expires: k.Expires, NextRenewal: k.NextAttempt,
		Renewals: k.Renewals, Failures: k.Failures, Error: k.LastError, ErrorTime: k.LastErrorTime, FailingSince: k.FailingSince,
	}
}

// publish shows the state of the loop to other goroutines.
func (a *Agent) publish() {
	s := a.state.snapshot
	s.Version, s.Pool = a.o.Version, a.o.Pool
	a.published.Store(&pageState{snapshot: s, mirrors: a.state.mirrors, direct: a.state.direct})
}

// ready reports whether the node is as the config says, and else why not.
func ready(s status.Snapshot) status.Readiness {
	var reasons []string
	switch {
	case s.Phase == status.Restored:
		return status.Readiness{Ready: true}
	case s.Phase == status.Waiting:
		reasons = append(reasons, "another agent runs on this machine")
	case s.Config.Error != "":
		reasons = append(reasons, "config: "+s.Config.Error)
	}
	switch c := s.Converge; {
	case c.Error != "":
		reasons = append(reasons, "converge: "+c.Error)
	case c.LastSuccess.IsZero() && len(reasons) == 0:
		reasons = append(reasons, "not converged yet")
	}
	return status.Readiness{Ready: len(reasons) == 0, Reasons: reasons}
}
