package status

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"
)

// WriteText writes a snapshot as "berth status" prints it: alarms first. paint
// colours a text in one of the styles head, add (good), remove (bad), conflict
// (in between) and hunk (aside).
func WriteText(w io.Writer, s Snapshot, paint func(style, text string) string) error {
	if s.Time.IsZero() {
		s.Time = time.Now()
	}
	t := &text{paint: paint, now: s.Time}
	t.head(s)
	t.alarms(s.Alarms)
	t.mirrors(s)
	t.tokens(s.Tokens)
	t.files(s.Files)
	t.errors(s.Errors)
	_, err := w.Write(t.out.Bytes())
	return err
}

type text struct {
	out   bytes.Buffer
	paint func(style, text string) string
	now   time.Time
}

func (t *text) printf(format string, args ...any) { fmt.Fprintf(&t.out, format, args...) }

// row is a line of a table; below stands under it, a line each.
type row struct {
	cells []cell
	below []cell
}

type cell struct{ style, text string }

func plain(texts ...string) []cell {
	var cells []cell
	for _, s := range texts {
		cells = append(cells, cell{"", s})
	}
	return cells
}

// table prints columns as wide as their widest cell. Colour takes no room.
func (t *text) table(title string, rows []row) {
	t.printf("\n")
	rows = append([]row{{cells: plain(strings.Fields(title)...)}}, rows...)
	for i := range rows[0].cells {
		rows[0].cells[i] = cell{"head", strings.ReplaceAll(rows[0].cells[i].text, "_", " ")}
	}
	widths := make([]int, len(rows[0].cells))
	for _, r := range rows {
		for i, c := range r.cells {
			widths[i] = max(widths[i], utf8.RuneCountInString(c.text))
		}
	}
	for _, r := range rows {
		pad := 0
		for i, c := range r.cells {
			t.printf("%*s%s", pad, "", t.painted(c.style, c.text))
			pad = widths[i] - utf8.RuneCountInString(c.text) + 3
		}
		t.printf("\n")
		for _, c := range r.below {
			t.indented("  ", c)
		}
	}
}

// indented prints every line of a text with the same indent.
func (t *text) indented(indent string, c cell) {
	for line := range strings.Lines(strings.TrimSpace(c.text)) {
		t.printf("%s%s\n", indent, t.painted(c.style, strings.TrimSuffix(line, "\n")))
	}
}

func (t *text) painted(style, s string) string {
	if style == "" || s == "" {
		return s
	}
	return t.paint(style, s)
}

func (t *text) ago(at time.Time) string {
	if at.IsZero() {
		return "-"
	}
	return Relative(t.now, at)
}

func (t *text) head(s Snapshot) {
	style := "add"
	if !s.Ready.Ready {
		style = "remove"
	}
	t.printf("%s\n", t.painted(style, strings.TrimPrefix(s.Node+": ", ": ")+s.Line()))
	if !s.Ready.Ready {
		for _, r := range s.Ready.Reasons {
			t.indented("  ", cell{"remove", r})
		}
	}
	t.printf("agent %s, started %s; config %s, loaded %s; converged %s\n",
		cmp.Or(s.Version, "of an unknown version"), t.ago(s.Started), cmp.Or(s.Config.Path, "-"), t.ago(s.Config.Loaded), t.ago(s.Converge.LastSuccess))
	for _, w := range s.Config.Warnings {
		t.indented("", cell{"conflict", "warning: " + w})
	}
	for _, n := range s.Notices {
		t.indented("", cell{"", "note: " + n})
	}
}

func (t *text) alarms(alarms []Alarm) {
	if len(alarms) == 0 {
		return
	}
	var rows []row
	for i, a := range alarms {
		style := "conflict"
		if a.Severity == Critical {
			style = "remove"
		}
		r := row{
			cells: []cell{{style, a.Name}, {style, string(a.Severity)}, {"", t.ago(a.Since)}, {"", oneLine(cmp.Or(a.Subject, "-"))}},
			below: plain(a.Message),
		}
		if i+1 == len(alarms) || alarms[i+1].Name != a.Name {
			r.below = append(r.below, cell{"hunk", "see " + a.Doc})
		}
		rows = append(rows, r)
	}
	t.table("ALARM SEVERITY SINCE SUBJECT", rows)
}

func (t *text) mirrors(s Snapshot) {
	var rows []row
	for _, m := range s.Mirrors {
		for _, e := range m.Endpoints {
			r := t.endpoint(e)
			r.cells = append(plain(oneLine(m.Upstream)), r.cells...)
			rows = append(rows, r)
		}
	}
	if len(s.Mirrors) > 0 {
		t.table("UPSTREAM ENDPOINT STATE SINCE LAST_PROBE LOGIN", rows)
	}
	if d := s.DockerHub; d.Known() {
		t.printf("docker.io: %d of %d pulls are left, asked %s\n", d.Remaining, d.Limit, t.ago(d.Time))
	}
	rows = nil
	for _, e := range s.Registries {
		rows = append(rows, t.endpoint(e))
	}
	if len(rows) > 0 {
		t.table("REGISTRY STATE SINCE LAST_PROBE LOGIN", rows)
	}
}

func (t *text) endpoint(e Endpoint) row {
	state := cell{"", string(e.State)}
	switch e.State {
	case Up:
		state.style = "add"
	case Down:
		state.style = "remove"
	}
	if e.Withdrawn {
		state.text += ", withdrawn"
	}
	login := cmp.Or(e.Login, "-")
	if e.Basic != "" {
		login += " (" + string(e.Basic) + ")"
	}
	probe := t.ago(e.LastProbe)
	if !e.LastProbe.IsZero() {
		probe += ", " + Human(time.Duration(e.ProbeDuration))
	}
	r := row{cells: []cell{{"", oneLine(e.URL)}, state, {"", t.ago(e.Since)}, {"", probe}, {"", oneLine(login)}}}
	if e.Error != "" {
		r.below = append(r.below, cell{"remove", e.Error})
	}
	if e.Note != "" {
		r.below = append(r.below, cell{"", e.Note})
	}
	return r
}

func (t *text) tokens(tokens []Token) {
	if len(tokens) == 0 {
		return
	}
	var rows []row
	for _, k := range tokens {
		state := cell{"", k.State(t.now)}
		switch state.text {
		case "valid":
			state.style = "add"
		case "expiring":
			state.style = "conflict"
		case "missing":
			state.style = "remove"
		}
		r := row{cells: []cell{{"", oneLine(k.Name())}, state, {"", t.ago(k.Expires)}, {"", t.ago(k.NextRenewal)}, {"", oneLine(cmp.Or(k.Source, "-"))}}}
		if k.Error != "" {
			r.below = append(r.below, cell{"remove", k.Error})
		}
		rows = append(rows, r)
	}
	t.table("TOKEN STATE EXPIRES NEXT_RENEWAL SOURCE", rows)
}

func (t *text) files(f Files) {
	t.printf("\n%s: %d written, %d repaired, %d removed\n", counted(f.Managed, "managed file"), f.Written, f.Repaired, f.Removed)
	for _, n := range f.Skipped {
		t.indented("", cell{"", fmt.Sprintf("left for the next run %s: %s", oneLine(n.Path), n.Reason)})
	}
	for _, n := range f.Saved {
		t.indented("", cell{"", fmt.Sprintf("kept %s: %s (%s)", oneLine(n.Path), n.Reason, t.ago(n.Since))})
	}
}

// errors are told newest first.
func (t *text) errors(events []Event) {
	if len(events) == 0 {
		return
	}
	var rows []row
	for i := range events {
		e := events[len(events)-1-i]
		rows = append(rows, row{cells: plain(t.ago(e.Time), fmt.Sprint(max(e.Count, 1))), below: plain(e.Message)})
	}
	t.table("LAST_ERROR TIMES", rows)
}

// oneLine keeps a table a table.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
