package status

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Docs is the page that has an entry for each alarm.
const Docs = "docs/operations.md"

// Alarm is something that an operator should look at.
type Alarm struct {
	Name     string    `json:"name"` // stable; one of [Kinds]
	Severity Severity  `json:"severity"`
	Subject  string    `json:"subject,omitempty"` // which one: an upstream, a token, a path
	Message  string    `json:"message"`
	Since    time.Time `json:"since,omitzero"`
	Doc      string    `json:"doc"` // [Docs] and the anchor of its entry
}

// URL is the entry of the alarm for people.
func (a Alarm) URL() string { return docsURL + a.Doc }

// Severity says how much of the node's work is in danger.
type Severity string

// The severities.
const (
	// Critical: pulls fail, or may, or the node does not follow the config.
	Critical Severity = "critical"
	// Warning: it works, but one more failure, or somebody who relies on it,
	// may find that it does not.
	Warning Severity = "warning"
)

// Kind is an alarm that there can be.
type Kind struct {
	Name    string
	Meaning string // one sentence
	// Severities are those that its alarms can have. The first holds unless
	// the alarm says otherwise.
	Severities []Severity
}

// Doc gives Docs with the anchor of the entry.
func (k Kind) Doc() string { return Docs + "#" + strings.ToLower(k.Name) }

// Kinds lists every alarm that there can be.
func Kinds() []Kind {
	var kinds []Kind
	for _, r := range rules() {
		kinds = append(kinds, r.Kind)
	}
	return kinds
}

// Alarms derives from the rest of a snapshot what needs attention: critical
// ones first, then in the order of [Kinds], then as in the snapshot. It is a
// pure function, and what it says changes only when the snapshot's facts do.
func Alarms(s Snapshot) []Alarm {
	var all []Alarm
	for _, r := range rules() {
		for _, a := range r.find(s) {
			a.Name, a.Doc = r.Name, r.Doc()
			if a.Severity == "" {
				a.Severity = r.Severities[0]
			}
			all = append(all, a)
		}
	}
	slices.SortStableFunc(all, func(a, b Alarm) int {
		return cmp.Compare(rank(a.Severity), rank(b.Severity))
	})
	return all
}

func rank(s Severity) int {
	if s == Critical {
		return 0
	}
	return 1
}

// absolute is a time for a message: one that does not change while we wait.
func absolute(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// counted is "1 file" or "2 files".
func counted[N int | uint64](n N, what string) string {
	if n == 1 {
		return fmt.Sprintf("%d %s", n, what)
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// Line is the state in one line, for systemd and for the head of a page. Alarms
// are derived unless the snapshot has them.
func (s Snapshot) Line() string {
	parts := []string{string(s.Phase)}
	if s.Phase == "" {
		parts[0] = string(Starting)
	}
	if !s.Ready.Ready {
		parts[0] += ", not ready"
	}
	parts = append(parts, counted(s.Files.Managed, "file"), counted(s.Config.Upstreams, "upstream"))
	alarms := s.alarms()
	switch critical := s.Critical(); {
	case len(alarms) == 0:
		parts = append(parts, "no alarm")
	case critical == len(alarms):
		parts = append(parts, counted(critical, "critical alarm"))
	case critical > 0:
		parts = append(parts, fmt.Sprintf("%s (%d critical)", counted(len(alarms), "alarm"), critical))
	default:
		parts = append(parts, counted(len(alarms), "alarm"))
	}
	return parts[0] + "; " + strings.Join(parts[1:], ", ")
}

func (s Snapshot) alarms() []Alarm {
	if s.Alarms == nil {
		return Alarms(s)
	}
	return s.Alarms
}

// Critical counts the critical alarms: with one, a node that is ready is not
// well. Alarms are derived unless the snapshot has them.
func (s Snapshot) Critical() int {
	n := 0
	for _, a := range s.alarms() {
		if a.Severity == Critical {
			n++
		}
	}
	return n
}
