package status

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

var (
	//go:embed page.html
	pageHTML string
	//go:embed page.css
	pageCSS string
)

// maxLines limits how many lines of one kind the page shows; /status has all.
const maxLines = 20

// intervals lists the reload intervals, in seconds.
func intervals() []int { return []int{5, 30, 300} }

// newPage serves the page. The page contains its style sheet, so that a browser loads nothing else;
// the policy allows the hash of that sheet and no script.
func newPage(get func() Snapshot) http.Handler {
	hash := sha256.Sum256([]byte(pageCSS))
	policy := "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(hash[:]) +
		"'; img-src data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
	tmpl := template.Must(template.New("page").Funcs(functions()).Parse(pageHTML))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		refresh, err := strconv.Atoi(r.URL.Query().Get("refresh"))
		if err != nil || !slices.Contains(intervals(), refresh) {
			refresh = 0
		}
		var body bytes.Buffer
		if err := tmpl.Execute(&body, pageOf(get(), refresh)); err != nil {
			http.Error(w, fmt.Sprintf("page: %v", err), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Security-Policy", policy)
		send(w, "text/html; charset=utf-8", body.Bytes())
	})
}

// page is the input of the template.
type page struct {
	Snapshot
	Style     template.CSS
	Refresh   int
	Intervals []int
	Groups    []group // of alarms
	Counts    counts  // of endpoints
	Notes     []notes // about files
	Now       *timeText
	Icon      template.URL
}

// group holds all alarms of one name and severity.
type group struct {
	Kind
	Severity Severity
	Link     string
	Alarms   []Alarm
}

// endpointRow is a row in a table of endpoints.
type endpointRow struct {
	Endpoint
	Now time.Time
}

// notes is a list of notes about files.
type notes struct {
	Title string
	Now   time.Time
	Notes []FileNote
}

type counts struct{ Endpoints, Up, Down, Unknown, Withdrawn int }

func pageOf(s Snapshot, refresh int) page {
	if s.Time.IsZero() {
		s.Time = time.Now()
	}
	s.Phase = cmp.Or(s.Phase, Starting)
	p := page{
		Snapshot: s, Style: template.CSS(pageCSS), Refresh: refresh, Intervals: intervals(),
		Groups: groups(s.Alarms), Counts: count(s.Mirrors),
		Icon: "data:image/svg+xml," +
			"%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E" +
			"%3Cpath fill='%230a66c2' d='M1 9h14l-3 5H4zM4 3h3v5H4zm4 2h4v3H8z'/%3E%3C/svg%3E",
	}
	slices.Reverse(p.Errors)      // this is the copy of tidy
	slices.Reverse(p.Files.Saved) // newest first
	p.Now = when(s.Time, s.Time)
	p.Notes = []notes{
		{"Conflicts", s.Time, p.Files.Conflicts},
		{"Left for the next run", s.Time, p.Files.Skipped},
		{"Saved copies of other programs' edits", s.Time, p.Files.Saved},
	}
	return p
}

// groups collects alarms of one name and severity, in the order of the first alarm of each.
func groups(alarms []Alarm) []group {
	kinds := map[string]Kind{}
	for _, k := range Kinds() {
		kinds[k.Name] = k
	}
	var all []group
	type key struct {
		name     string
		severity Severity
	}
	at := map[key]int{}
	for _, a := range alarms {
		i, ok := at[key{a.Name, a.Severity}]
		if !ok {
			i = len(all)
			at[key{a.Name, a.Severity}] = i
			kind := kinds[a.Name]
			kind.Name = a.Name
			all = append(all, group{Kind: kind, Severity: a.Severity, Link: a.URL()})
		}
		all[i].Alarms = append(all[i].Alarms, a)
	}
	return all
}

func count(mirrors []Mirror) counts {
	var c counts
	for _, m := range mirrors {
		for _, e := range m.Endpoints {
			c.Endpoints++
			c.Withdrawn += int(boolValue(e.Withdrawn))
			switch e.State {
			case Up:
				c.Up++
			case Down:
				c.Down++
			default:
				c.Unknown++
			}
		}
	}
	return c
}

// timeText is a time for people: relative, with the absolute time as a tooltip.
type timeText struct{ Machine, Absolute, Relative string }

// when returns nil for a zero time.
func when(now, t time.Time) *timeText {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &timeText{t.Format(time.RFC3339), t.Format("2006-01-02 15:04:05 UTC"), Relative(now, t)}
}

func functions() template.FuncMap {
	return template.FuncMap{
		"when":       when,
		"row":        func(e Endpoint, now time.Time) endpointRow { return endpointRow{e, now} },
		"human":      func(s Seconds) string { return Human(time.Duration(s)) },
		"seconds":    func(n int) string { return Human(time.Duration(n) * time.Second) },
		"firstText":  first[string],
		"byReason":   byReason,
		"first":      first[Alarm],
		"firstNote":  first[FileNote],
		"more":       func(n int) int { return max(0, n-maxLines) },
		"tokenState": Token.State,
		"rate":       func(f float64) string { return strconv.FormatFloat(f, 'f', 0, 64) },
		"lines":      func(s string) []string { return strings.Split(strings.TrimSpace(s), "\n") },
	}
}

func first[T any](all []T) []T { return all[:min(len(all), maxLines)] }

// Relative describes t relative to now: "3m ago", "in 5h20m".
func Relative(now, t time.Time) string {
	switch d := t.Sub(now); {
	case d.Abs() < time.Second:
		return "now"
	case d < 0:
		return Human(d) + " ago"
	default:
		return "in " + Human(d)
	}
}

// State is the state of the token in a word: valid, expiring, missing, or waiting for its first
// renewal.
func (t Token) State(now time.Time) string {
	switch {
	case t.Expiring(now):
		return "expiring"
	case t.Valid:
		return "valid"
	case t.Error == "" && t.Expires.IsZero():
		return "waiting"
	}
	return "missing"
}

// byReason is "3 timeout, 1 status_500": at most five reasons, the most frequent first.
func byReason(failures map[string]uint64) string {
	failures = nonzero(failures)
	keys := slices.SortedFunc(maps.Keys(failures), func(a, b string) int {
		return cmp.Or(cmp.Compare(failures[b], failures[a]), cmp.Compare(a, b))
	})
	var parts []string
	for i, k := range keys {
		if i == 5 {
			parts = append(parts, "…")
			break
		}
		parts = append(parts, fmt.Sprintf("%d %s", failures[k], k))
	}
	return strings.Join(parts, ", ")
}
