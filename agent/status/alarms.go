package status

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/berth-registry/berth/internal/docs"
)

// Docs is the page that has an entry for each alarm, below [docs.Root].
const Docs = "docs/operations.md"

// Alarm is a condition that needs an operator's attention.
type Alarm struct {
	Name     string    `json:"name"` // stable, one of [Kinds]
	Severity Severity  `json:"severity"`
	Subject  string    `json:"subject,omitempty"` // the upstream, token or path concerned
	Message  string    `json:"message"`
	Since    time.Time `json:"since,omitzero"`
	Doc      string    `json:"doc"` // [Docs] with the anchor of its entry
}

// URL is the address of the alarm's entry, for people.
func (a Alarm) URL() string { return docs.Root + a.Doc }

// Severity says how serious an alarm is.
type Severity string

// The severities.
const (
	// Critical: pulls fail or may fail, or the node does not follow the config.
	Critical Severity = "critical"
	// Warning: pulls work, but one more failure may break them, or one function does not work.
	Warning Severity = "warning"
)

// Kind describes one alarm.
type Kind struct {
	Name    string
	Meaning string // one sentence
	// Severities are those that its alarms can have. An alarm has the first one unless its rule
	// sets another.
	Severities []Severity
}

// Doc returns Docs with the anchor of the entry.
func (k Kind) Doc() string { return Docs + "#" + strings.ToLower(k.Name) }

// Kinds lists every possible alarm.
func Kinds() []Kind {
	var kinds []Kind
	for _, r := range alarmRules() {
		kinds = append(kinds, r.Kind)
	}
	return kinds
}

// Alarms derives the alarms from the other fields of a snapshot: critical ones first, then in the
// order of [Kinds], then as in the snapshot. It is a pure function. Its messages change only when
// the facts of the snapshot change, not with time alone.
func Alarms(s Snapshot) []Alarm {
	var all []Alarm
	for _, r := range alarmRules() {
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

// absolute formats a time for a message: a relative time would change the message all the time.
func absolute(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// counted is "1 file" or "2 files".
func counted[N int | uint64](n N, what string) string {
	if n == 1 {
		return fmt.Sprintf("%d %s", n, what)
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// Line is the state in one line, for systemd and the head of the page. It derives the alarms unless
// the snapshot has them.
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

// Critical returns the number of critical alarms: a ready node with one still needs help. It
// derives the alarms unless the snapshot has them.
func (s Snapshot) Critical() int {
	n := 0
	for _, a := range s.alarms() {
		if a.Severity == Critical {
			n++
		}
	}
	return n
}
