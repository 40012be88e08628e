package status

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/berth-registry/berth/internal/dockerhub"
)

// alarmRule finds the alarms of one kind.
type alarmRule struct {
	Kind
	find func(Snapshot) []Alarm
}

// alarmRules lists the rules, the most important first.
func alarmRules() []alarmRule {
	only := func(s Severity) []Severity { return []Severity{s} }
	return []alarmRule{
		{Kind{"NoConfig", "No usable config was ever read, so Berth manages nothing on this node.",
			only(Critical)}, noConfig},
		{Kind{"ConfigInvalid", "The config on disk is invalid; the last good one is in use.",
			only(Critical)}, configInvalid},
		{Kind{"ConvergeFailing", "The agent cannot bring the node to the state that the config wants.",
			only(Critical)}, convergeFailing},
		{Kind{"FilesNotRead", "containerd does not read the files that Berth writes.",
			[]Severity{Critical, Warning}}, filesNotRead},
		{Kind{"TokenMissing", "No valid ECR token or credential helper login: hosts.toml has no login for its registries.",
			only(Critical)}, tokenMissing},
		{Kind{"AllMirrorsDown", "No mirror of an upstream answers.", []Severity{Warning, Critical}}, allMirrorsDown},
		{Kind{"TokenExpiring", "An ECR token or credential helper login cannot be renewed; it still works.", only(Warning)}, tokenExpiring},
		{Kind{"MirrorDown", "A mirror does not answer; others of its upstream do.", only(Warning)}, mirrorDown},
		{Kind{"LoginRefused", "An endpoint or registry does not accept the login that the config has for it.",
			only(Warning)}, loginRefused},
		{Kind{"UnsafeRedirect",
			"An endpoint or registry redirects downloads to a place that would receive its login.",
			only(Warning)}, unsafeRedirect},
		{Kind{"FileConflict", "A file that Berth did not write is at a path where Berth must write.",
			only(Warning)}, fileConflict},
		{Kind{"NotWatching", "File changes are found by a timer, not at once.", only(Warning)}, notWatching},
		{Kind{"DockerHubLimit", "Docker Hub will soon refuse pulls from this node.", only(Warning)}, dockerHubLimit},
		{Kind{"AnotherAgent", "Another agent manages this node; this one waits.", only(Warning)}, anotherAgent},
		{Kind{"NodeRestored", "The node is restored to its state before Berth.", only(Warning)}, nodeRestored},
	}
}

func noConfig(s Snapshot) []Alarm {
	c := s.Config
	if c.OK || c.Stale || c.Error == "" || idle(s) {
		return nil
	}
	return []Alarm{{Subject: c.Path, Message: c.Error, Since: c.Since}}
}

func configInvalid(s Snapshot) []Alarm {
	c := s.Config
	if c.OK || !c.Stale || idle(s) {
		return nil
	}
	return []Alarm{{Subject: c.Path, Message: cmp.Or(c.Error, "invalid"), Since: c.Since}}
}

// idle reports whether this agent must not manage the node.
func idle(s Snapshot) bool { return s.Phase == Restored || s.Phase == Waiting }

func convergeFailing(s Snapshot) []Alarm {
	if s.Converge.Error == "" {
		return nil
	}
	return []Alarm{{Message: s.Converge.Error, Since: s.Converge.FailingSince}}
}

// filesNotRead needs two managed files: one is the credential provider's, and without another there
// is nothing for containerd to read.
func filesNotRead(s Snapshot) []Alarm {
	c := s.Containerd
	if c == nil || idle(s) || s.Files.Managed < 2 {
		return nil
	}
	if c.CRIDisabled && s.Docker != nil && s.Docker.Written {
		return nil // the files are for Docker
	}
	a := Alarm{Subject: c.ConfigPath, Since: c.Since}
	switch c.Reads {
	case ReadsNo:
		a.Message = "containerd does not read these files: " + c.Why
	case ReadsRestart:
		a.Severity = Warning
		a.Message = "containerd may not read these files: " + c.Why
	default:
		return nil
	}
	if c.Remedy != "" {
		a.Message += "; " + c.Remedy
	}
	return []Alarm{a}
}

// Name identifies the token for an operator.
func (t Token) Name() string {
	return strings.Join(strings.Fields(t.Service+" "+t.Region+" "+t.Identity), " ")
}

func tokenMissing(s Snapshot) []Alarm {
	var found []Alarm
	for _, t := range s.Tokens {
		expired := !t.Expires.IsZero() && !t.Expires.After(s.Time)
		if t.Valid || t.Error == "" && !expired {
			continue // or the first renewal has not ended
		}
		a := Alarm{Subject: t.Name(), Message: cmp.Or(t.Error, "expired"), Since: t.FailingSince}
		if expired {
			a.Since = t.Expires
		}
		found = append(found, a)
	}
	return found
}

// Renewal begins at half of the token's life. An alarm needs five minutes of failures, or a failure
// in the last third of the life.
const (
	renewalGrace = 5 * time.Minute
	renewalPart  = 3
)

func tokenExpiring(s Snapshot) []Alarm {
	var found []Alarm
	for _, t := range s.Tokens {
		if !t.Expiring(s.Time) {
			continue
		}
		found = append(found, Alarm{
			Subject: t.Name(), Since: t.FailingSince,
			Message: fmt.Sprintf("expires at %s: %s", absolute(t.Expires), t.Error),
		})
	}
	return found
}

// Expiring reports whether the token is valid but may not be renewed in time.
func (t Token) Expiring(now time.Time) bool {
	if !t.Valid || t.Error == "" {
		return false
	}
	if !t.FailingSince.IsZero() && now.Sub(t.FailingSince) >= renewalGrace {
		return true
	}
	return !t.Issued.IsZero() && t.Expires.Sub(now) < t.Expires.Sub(t.Issued)/renewalPart
}

// AllDown reports whether there are endpoints and all of them are down.
func (m Mirror) AllDown() bool {
	for _, e := range m.Endpoints {
		if e.State != Down {
			return false
		}
	}
	return len(m.Endpoints) > 0
}

// allMirrorsDown replaces the alarms of the single mirrors.
func allMirrorsDown(s Snapshot) []Alarm {
	var found []Alarm
	for _, m := range s.Mirrors {
		if !m.AllDown() {
			continue
		}
		a := Alarm{Subject: m.Upstream}
		var each []string
		for _, e := range m.Endpoints {
			each = append(each, e.URL+": "+e.failure())
			if e.Since.After(a.Since) {
				a.Since = e.Since
			}
		}
		then := "images are pulled from " + m.Fallback
		switch {
		case m.Fallback == "":
			then = "pulls fail, because the config allows no fallback"
			a.Severity = Critical
		case m.FallbackDown:
			then = "pulls fail, because " + m.Fallback + " does not answer either"
			a.Severity = Critical
		}
		a.Message = then + "\n" + strings.Join(each, "\n")
		found = append(found, a)
	}
	return found
}

func (e Endpoint) failure() string {
	switch {
	case e.Error != "":
		return e.Error
	case e.HTTPStatus != 0:
		return fmt.Sprintf("HTTP status %d", e.HTTPStatus)
	}
	return "no answer"
}

func mirrorDown(s Snapshot) []Alarm {
	var found []Alarm
	for _, m := range s.Mirrors {
		if m.AllDown() {
			continue
		}
		for _, e := range m.Endpoints {
			if e.State != Down {
				continue
			}
			then := "still in hosts.toml, so pulls may wait for it"
			if e.Withdrawn {
				then = "left out of hosts.toml"
			}
			found = append(found, Alarm{
				Subject: m.Upstream + " " + e.URL, Since: e.Since,
				Message: e.failure() + "; " + then,
			})
		}
	}
	return found
}

// perURL returns one alarm per URL, although several upstreams or registries may have it: the fault
// is the endpoint's.
func perURL(s Snapshot, fault func(Endpoint) string) []Alarm {
	var found []Alarm
	seen := map[string]bool{}
	look := func(endpoints []Endpoint) {
		for _, e := range endpoints {
			if message := fault(e); message != "" && !seen[e.URL] {
				seen[e.URL] = true
				found = append(found, Alarm{Subject: e.URL, Message: message})
			}
		}
	}
	for _, m := range s.Mirrors {
		look(m.Endpoints)
	}
	look(s.Registries)
	return found
}

func loginRefused(s Snapshot) []Alarm {
	return perURL(s, func(e Endpoint) string {
		switch e.Basic {
		case BasicWrong:
			return cmp.Or(e.Login, "the login") +
				" is refused: wrong username or password, or no right to read"
		case BasicRefused:
		default:
			return ""
		}
		if e.LeftOut != "" {
			return cmp.Or(e.Login, "the login") + " is not accepted in a header: " + e.LeftOut
		}
		return cmp.Or(e.Login, "the login") + " is not accepted in a header; " +
			"pulls from there have no login, unless kubelet's credential provider may use it"
	})
}

func unsafeRedirect(s Snapshot) []Alarm {
	return perURL(s, func(e Endpoint) string {
		if e.Redirect != RedirectOtherPort {
			return ""
		}
		return "downloads are redirected to another port or a subdomain of the same host, " +
			"which would receive " + cmp.Or(e.Login, "the login") + "; the header is not written"
	})
}

func fileConflict(s Snapshot) []Alarm {
	var found []Alarm
	for _, f := range s.Files.Conflicts {
		found = append(found, Alarm{Subject: f.Path, Message: f.Reason, Since: f.Since})
	}
	return found
}

func notWatching(s Snapshot) []Alarm {
	if w := s.Converge.Watching; w != "" && w != Inotify && !idle(s) {
		return []Alarm{{Message: w}}
	}
	return nil
}

// dockerHubPart: the alarm is raised when a tenth of the limit is left.
const dockerHubPart = 10

func dockerHubLimit(s Snapshot) []Alarm {
	d := s.DockerHub
	if !d.Known() || d.Remaining > d.Limit/dockerHubPart {
		return nil
	}
	return []Alarm{{
		Subject: dockerhub.Name, Since: d.Time,
		Message: fmt.Sprintf("%d of %d pulls are left", d.Remaining, d.Limit),
	}}
}

func anotherAgent(s Snapshot) []Alarm {
	if s.Phase != Waiting {
		return nil
	}
	return []Alarm{{Message: "it takes over when the other agent stops", Since: s.PhaseSince}}
}

func nodeRestored(s Snapshot) []Alarm {
	if s.Phase != Restored {
		return nil
	}
	return []Alarm{{
		Message: "no mirror and no login of Berth is in use, because the agent runs with --restore",
		Since:   s.PhaseSince,
	}}
}
