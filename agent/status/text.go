package status

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/berth-registry/berth/internal/docs"
)

// WriteText writes a snapshot as "berth status" prints it: alarms first, each fact once, in lines
// of 80 columns, except single longer words. paint colours a text in one of the styles head, add
// (good), remove (bad) and conflict (in between).
func WriteText(w io.Writer, s Snapshot, paint func(style, text string) string) error {
	if s.Time.IsZero() {
		s.Time = time.Now()
	}
	t := &text{paint: paint, now: s.Time}
	for _, a := range s.Alarms {
		for line := range strings.Lines(a.Message) {
			t.reported = append(t.reported, strings.TrimSpace(line))
		}
		t.alarmNames = append(t.alarmNames, a.Name)
	}
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
	out        bytes.Buffer
	paint      func(style, text string) string
	now        time.Time
	reported   []string // the lines of the alarms
	alarmNames []string // the names of the alarms
}

// columns is the width of the text.
const columns = 80

func (t *text) printf(format string, args ...any) { fmt.Fprintf(&t.out, format, args...) }

// lines prints each line of s wrapped, with the same indent.
func (t *text) lines(indent int, style, s string) {
	for line := range strings.Lines(strings.TrimSpace(s)) {
		for _, part := range wrap(line, columns-indent) {
			t.printf("%*s%s\n", indent, "", t.painted(style, part))
		}
	}
}

// wrap splits a line at spaces. A word that is too long stays whole, so that it can be copied.
func wrap(line string, width int) []string {
	var all []string
	now, n := "", 0
	for _, word := range strings.Fields(line) {
		long := len([]rune(word))
		if now != "" && n+1+long > width {
			all = append(all, now)
			now, n = "", 0
		}
		if now != "" {
			now, n = now+" ", n+1
		}
		now, n = now+word, n+long
	}
	return append(all, now)
}

// item prints a state, a name and the facts that are not empty. A name that is too long is wrapped.
func (t *text) item(style, state, name string, facts ...string) {
	const indent = 10
	facts = slices.DeleteFunc(facts, func(s string) bool { return s == "" })
	parts := wrap(name, columns-indent)
	t.printf("%s%*s%s\n", t.painted(style, state), max(indent-len([]rune(state)), 1), "", parts[0])
	for _, part := range parts[1:] {
		t.printf("%*s%s\n", indent, "", part)
	}
	if len(facts) > 0 {
		t.lines(indent, "", strings.Join(facts, "; "))
	}
}

func (t *text) title(s string) { t.printf("\n%s\n", t.painted("head", s)) }

func (t *text) painted(style, s string) string {
	if style == "" || s == "" {
		return s
	}
	return t.paint(style, s)
}

func (t *text) ago(at time.Time) string {
	if at.IsZero() {
		return "never"
	}
	return Relative(t.now, at)
}

// when formats a fact with a time, "" if the time is zero.
func (t *text) when(format string, at time.Time) string {
	if at.IsZero() {
		return ""
	}
	return fmt.Sprintf(format, Relative(t.now, at))
}

func (t *text) head(s Snapshot) {
	style := "add"
	switch {
	case !s.Ready.Ready:
		style = "remove"
	case s.Critical() > 0:
		style = "conflict"
	}
	t.lines(0, style, strings.TrimPrefix(oneLine(s.Node)+": ", ": ")+s.Line())
	if !s.Ready.Ready {
		for _, r := range s.Ready.Reasons {
			if _, what, ok := strings.Cut(r, ": "); !ok || !t.isReported(what) {
				t.lines(2, "remove", r)
			}
		}
	}
	t.lines(0, "", fmt.Sprintf("agent %s, started %s; converged %s",
		cmp.Or(s.Version, "unknown version"), t.ago(s.Started), t.ago(s.Converge.LastSuccess)))
	t.config(s)
	t.containerd(s)
	t.docker(s.Docker)
	t.configJSON(s.ConfigJSON)
	for _, w := range s.Config.Warnings {
		t.lines(0, "conflict", "warning: "+w)
	}
	for _, n := range s.Notices {
		t.lines(0, "", "note: "+n)
	}
}

func (t *text) config(s Snapshot) {
	facts := fmt.Sprintf("config %s, loaded %s", cmp.Or(s.Config.Path, "-"), t.ago(s.Config.Loaded))
	if s.Config.Hash != "" {
		facts += ", hash " + s.Config.Hash
	}
	if s.Pool != "" {
		facts += "; pool " + oneLine(s.Pool)
	}
	t.lines(0, "", facts)
}

// isReported reports whether an alarm has every line of s.
func (t *text) isReported(s string) bool {
	for line := range strings.Lines(s) {
		if !slices.Contains(t.reported, strings.TrimSpace(line)) {
			return false
		}
	}
	return true
}

func (t *text) containerd(s Snapshot) {
	c := s.Containerd
	if c == nil || slices.Contains(t.alarmNames, "FilesNotRead") {
		return
	}
	what := strings.TrimSpace("containerd " + c.Version)
	switch {
	case c.Reads == ReadsYes:
		t.lines(0, "", what+" reads these files")
	case c.CRIDisabled:
		t.lines(0, "", what+" serves no kubelet: its CRI plugin is disabled")
	default:
		t.lines(0, "", what+": unknown whether it reads these files: "+c.Why)
	}
}

func (t *text) docker(d *Docker) {
	if d == nil {
		return
	}
	what := strings.TrimSpace("Docker " + d.Version)
	switch {
	case d.Reads == ReadsYes && d.Written:
		what += " reads the files below " + d.CertsDir
	case d.Written:
		what += " may not read the files below " + d.CertsDir + ": " + d.Why
	default:
		what += ": no files are written: " + d.Why
	}
	t.lines(0, "", what)
}

func (t *text) configJSON(c *ConfigJSON) {
	if c == nil {
		return
	}
	what := cmp.Or(c.Path, "kubelet's config.json") + " holds the login of " + strings.Join(c.Hosts, ", ") + "; kubelet uses a change within five minutes"
	if len(c.Hosts) == 0 {
		what = cmp.Or(c.Path, "kubelet's config.json") + ": no login is written: " + c.Why
	} else if c.Why != "" {
		what += "; whether it uses another file is not known: " + c.Why
	}
	t.lines(0, "", what)
}

func (t *text) alarms(alarms []Alarm) {
	if len(alarms) == 0 {
		return
	}
	t.title("ALARMS  " + docs.Root + Docs)
	for _, a := range alarms {
		style := "conflict"
		if a.Severity == Critical {
			style = "remove"
		}
		name := a.Name
		if a.Subject != "" {
			name += ": " + oneLine(a.Subject)
		}
		if !a.Since.IsZero() {
			name += ", " + t.ago(a.Since)
		}
		t.item(style, string(a.Severity), name)
		t.lines(4, "", a.Message)
	}
}

func (t *text) mirrors(s Snapshot) {
	for i, m := range s.Mirrors {
		if i == 0 {
			t.title("MIRRORS")
		}
		then := ", then " + oneLine(m.Fallback)
		switch m.Fallback {
		case "":
			then = ", no fallback"
		case m.Upstream:
			then = ", then itself"
		}
		t.lines(0, "", oneLine(m.Upstream)+then)
		for _, e := range m.Endpoints {
			t.endpoint(e)
		}
	}
	if d := s.DockerHub; d.Known() && !slices.Contains(t.alarmNames, "DockerHubLimit") {
		t.lines(0, "", fmt.Sprintf("docker.io: %d of %d pulls are left, asked %s",
			d.Remaining, d.Limit, t.ago(d.Time)))
	}
	for i, e := range s.Registries {
		if i == 0 {
			t.title("REGISTRIES WITH A LOGIN")
		}
		t.endpoint(e)
	}
}

func (t *text) endpoint(e Endpoint) {
	style := map[State]string{Up: "add", Down: "remove"}[e.State]
	withdrawn := ""
	if e.Withdrawn && !slices.Contains(t.alarmNames, "MirrorDown") {
		withdrawn = "left out of hosts.toml"
	}
	login := oneLine(e.Login)
	if e.Basic != "" {
		login += " (" + string(e.Basic) + ")"
	}
	probe := t.when("asked %s", e.LastProbe)
	if probe != "" {
		probe += " (" + Human(time.Duration(e.ProbeDuration)) + ")"
	}
	t.item(style, "  "+string(e.State), oneLine(e.URL),
		withdrawn, t.when("since %s", e.Since), probe, login)
	// The alarms show the error of an endpoint that is down.
	alarmed := slices.Contains(t.alarmNames, "MirrorDown") ||
		slices.Contains(t.alarmNames, "AllMirrorsDown")
	if e.Error != "" && (e.State != Down || !alarmed) {
		t.lines(10, "remove", e.Error)
	}
	t.lines(10, "", e.Note)
}

func (t *text) tokens(tokens []Token) {
	for i, token := range tokens {
		if i == 0 {
			t.title("TOKENS AND HELPER LOGINS")
		}
		state := token.State(t.now)
		style := map[string]string{"valid": "add", "expiring": "conflict", "missing": "remove"}[state]
		by := ""
		if token.Source != "" {
			by = "by " + oneLine(token.Source)
		}
		t.item(style, state, oneLine(token.Name()),
			t.when("expires %s", token.Expires), t.when("next renewal %s", token.NextRenewal), by)
		if token.Error != "" && state == "valid" { // else the alarms show it
			t.lines(10, "remove", token.Error)
		}
	}
}

func (t *text) files(f Files) {
	t.title("FILES")
	t.lines(0, "", fmt.Sprintf("%s: %d written, %d repaired, %d removed",
		counted(f.Managed, "managed file"), f.Written, f.Repaired, f.Removed))
	for _, n := range f.Skipped {
		t.lines(0, "", fmt.Sprintf("left for the next run: %s: %s", oneLine(n.Path), n.Reason))
	}
	for _, n := range f.Saved {
		t.lines(0, "", fmt.Sprintf("saved: %s: %s (%s)", oneLine(n.Path), n.Reason, t.ago(n.Since)))
	}
}

// errors are printed newest first, without those that alarms show.
func (t *text) errors(events []Event) {
	titled := false
	for _, e := range slices.Backward(events) {
		if t.isReported(e.Message) {
			continue
		}
		if !titled {
			t.title("LAST ERRORS")
			titled = true
		}
		times := ""
		if e.Count > 1 {
			times = fmt.Sprintf(", %d times", e.Count)
		}
		t.lines(0, "", t.ago(e.Time)+times)
		t.lines(4, "", e.Message)
	}
}

// oneLine returns s without line breaks.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
