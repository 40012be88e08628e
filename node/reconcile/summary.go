package reconcile

import (
	"fmt"
	"io"
	"strings"

	"github.com/berth-registry/berth/hostsconf"
	"github.com/berth-registry/berth/internal/managedfile"
	"github.com/berth-registry/berth/internal/nodefs"
)

// Summary is a plan or a result for output, as text and as JSON. It holds no secret.
type Summary struct {
	Changes []SummaryChange `json:"changes"`
	// Skipped are files that changed while Berth worked, or that need a file that could not be
	// written; the next apply handles them.
	Skipped   []SummaryChange `json:"skipped,omitempty"`
	Saved     []SummarySaved  `json:"saved,omitempty"`
	Notices   []string        `json:"notices,omitempty"`
	Conflicts int             `json:"conflicts"`
	// Rules is true if the credential provider's rules change too.
	Rules     bool `json:"providerRules"`
	Unchanged int  `json:"unchanged"`
	// Credentials are the logins that hosts gain or lose; of a plan only.
	Credentials []CredentialChange `json:"credentials,omitempty"`
}

// SummaryChange is one file that differs, or differed, from the config.
type SummaryChange struct {
	Action   string `json:"action"`
	Path     string `json:"path"`
	Upstream string `json:"upstream,omitempty"`
	Reason   string `json:"reason,omitempty"`
}

// SummarySaved is a copy of a file that Berth did not write.
type SummarySaved struct {
	Path string `json:"path"`
	Copy string `json:"copy"`
	Why  string `json:"why"`
}

// Summary returns what the plan would change.
func (p Plan) Summary() Summary {
	s := summarize(p.Changes())
	s.Rules, s.Credentials = p.Rules, p.Credentials
	for _, n := range p.Notices {
		s.Notices = append(s.Notices, n.String())
	}
	return s
}

// Summary returns what was changed.
func (r Result) Summary() Summary {
	s := Summarize(r.Report)
	s.Notices = r.Plan.Summary().Notices
	s.Unchanged = r.Plan.Summary().Unchanged
	s.Rules = r.Rules
	return s
}

// Summarize returns what a report holds.
func Summarize(r managedfile.Report) Summary {
	s := summarize(append(append([]hostsconf.Change{}, r.Changed...), r.Conflicts...))
	s.Skipped = summarize(r.Skipped).Changes
	if len(s.Skipped) == 0 {
		s.Skipped = nil
	}
	for _, saved := range r.Saved {
		s.Saved = append(s.Saved, SummarySaved{Path: saved.Path, Copy: saved.Copy, Why: string(saved.Why)})
	}
	return s
}

// Restored names what happened to a file of Berth.
func Restored(c managedfile.Change) string {
	if c.Action == managedfile.Remove && c.Before.Original != nodefs.None {
		return "put back"
	}
	return string(c.Action)
}

// SummarizeRestore is [Summarize] for the report of [Node.Restore].
func SummarizeRestore(r managedfile.Report) Summary {
	words := map[string]string{}
	for _, c := range r.Changed {
		words[c.Path] = Restored(c)
	}
	s := Summarize(r)
	for i, c := range s.Changes {
		if w, ok := words[c.Path]; ok {
			s.Changes[i].Action = w
		}
	}
	return s
}

func summarize(changes []hostsconf.Change) Summary {
	s := Summary{Changes: []SummaryChange{}}
	for _, c := range changes {
		switch c.Action {
		case managedfile.Unchanged, managedfile.GracePeriod:
			s.Unchanged++
			continue
		case managedfile.Conflict:
			s.Conflicts++
		}
		s.Changes = append(s.Changes, SummaryChange{
			Action: string(c.Action), Path: c.Path, Upstream: hostsconf.Upstream(c.Path), Reason: c.Reason,
		})
	}
	return s
}

// Line is the last line of output; when is "to do" or "done".
func (s Summary) Line(when string) string {
	counts := map[string]int{}
	var order []string
	for _, c := range s.Changes {
		if counts[c.Action] == 0 {
			order = append(order, c.Action)
		}
		counts[c.Action]++
	}
	var parts []string
	for _, action := range order {
		parts = append(parts, fmt.Sprintf("%d %s", counts[action], action))
	}
	if s.Rules {
		parts = append(parts, "the credential provider's rules")
	}
	if len(parts) == 0 {
		return fmt.Sprintf("nothing %s: %d files match the config", when, s.Unchanged)
	}
	return fmt.Sprintf("%s: %s, %d unchanged", when, strings.Join(parts, ", "), s.Unchanged)
}

// WriteNotes writes the notices and the closing line.
func (s Summary) WriteNotes(w io.Writer, closing string) error {
	for _, n := range s.Notices {
		if _, err := fmt.Fprintf(w, "note: %s\n", n); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintln(w, closing)
	return err
}
