package status_test

import (
	"encoding/json"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/berth-registry/berth/agent/status"
	"github.com/berth-registry/berth/agent/status/statustest"
)

// everywhere puts a text into every string of a snapshot.
func everywhere(s status.Snapshot, text string) status.Snapshot {
	out := reflect.New(reflect.TypeOf(s)).Elem()
	var fill func(to, from reflect.Value)
	fill = func(to, from reflect.Value) {
		switch from.Kind() {
		case reflect.String:
			to.SetString(text)
		case reflect.Struct:
			if from.Type() == reflect.TypeFor[time.Time]() {
				to.Set(from)
				return
			}
			for i := range from.NumField() {
				fill(to.Field(i), from.Field(i))
			}
		case reflect.Pointer:
			if !from.IsNil() {
				to.Set(reflect.New(from.Type().Elem()))
				fill(to.Elem(), from.Elem())
			}
		case reflect.Slice:
			n := max(1, from.Len())
			to.Set(reflect.MakeSlice(from.Type(), n, n))
			for i := range from.Len() {
				fill(to.Index(i), from.Index(i))
			}
			if from.Len() == 0 {
				fill(to.Index(0), reflect.New(from.Type().Elem()).Elem())
			}
		case reflect.Map:
			to.Set(reflect.MakeMap(from.Type()))
			to.SetMapIndex(reflect.ValueOf(text), reflect.ValueOf(uint64(3)))
		default:
			to.Set(from)
		}
	}
	fill(out, reflect.ValueOf(s))
	return out.Interface().(status.Snapshot)
}

// shown returns every form of a snapshot.
func shown(t testing.TB, s status.Snapshot) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, path := range []string{"/", "/metrics", "/status", "/readyz"} {
		resp, body := serve(t, s, "GET", path)
		if resp.StatusCode >= 500 && path != "/readyz" {
			t.Errorf("%s: %s: %.300s", path, resp.Status, body)
		}
		all[path] = body
	}
	var text strings.Builder
	if err := status.WriteText(&text, status.Tidy(s), func(_, text string) string { return text }); err != nil {
		t.Error(err)
	}
	all["text"] = text.String()
	all["line"] = status.Tidy(s).Line()
	return all
}

// No form shows a secret that an error of another program contains, in any of the notations that
// programs use and in any field.
func TestCanary(t *testing.T) {
	const canary = "Canary0Secret1Value2"
	for _, form := range []string{
		`Get "https://user:` + canary + `@harbor.corp/v2/": EOF`,
		"https://" + canary + "@harbor.corp/v2/",
		"https://s3.amazonaws.com/x?X-Amz-Credential=a&X-Amz-Signature=" + canary + " 403",
		"https://cdn.corp/x?ns=docker.io&token=" + canary,
		"refused: Authorization: Basic " + canary + "==",
		"header authorization=bearer  " + canary,
		"Authorization:Bearer:" + canary + ", retry",
		"\x00Basic\x00 Basic " + canary,
	} {
		for where, body := range shown(t, everywhere(statustest.Rich(), form)) {
			if strings.Contains(body, canary) {
				t.Errorf("%s shows the secret of %q", where, form)
			}
		}
	}
	// A secret that is cut at the limit.
	long := strings.Repeat("x", 16<<10-40) + " https://user:" + canary + strings.Repeat("y", 100) + "@harbor.corp/"
	if got := status.Tidy(status.Snapshot{Node: long}).Node; strings.Contains(got, "Canary") {
		t.Errorf("half a secret: %q", got[len(got)-80:])
	}
	// The control: the search finds a text that is not masked.
	for where, body := range shown(t, everywhere(statustest.Rich(), "no secret: "+canary)) {
		if !strings.Contains(body, canary) {
			t.Errorf("%s does not show a plain text", where)
		}
	}
}

// Text without a secret stays unchanged.
func TestTidyKeeps(t *testing.T) {
	for _, text := range []string{
		"Basic authentication is not accepted", "the Bearer challenge names https://auth.docker.io/token", "Basic is refused",
		"https://mirror.corp:5000/v2/?ns=docker.io", "mail an admin@corp", "what? https://x.corp/", "a\n\tb", "Zürich → 東京",
		`WWW-Authenticate: Bearer realm="https://auth.corp/token",service="x"`, "/etc/berth/config.yaml:14:9: mirrors[0]: no",
	} {
		s := status.Tidy(status.Snapshot{Notices: []string{text}})
		if got := s.Notices[0]; got != text {
			t.Errorf("%q became %q", text, got)
		}
	}
	rich := statustest.Rich()
	if got := status.Tidy(rich); !reflect.DeepEqual(status.Tidy(got), got) {
		t.Error("tidying twice is not tidying once")
	}
}

func TestTidyBounds(t *testing.T) {
	s := status.Tidy(status.Snapshot{
		Node: "a\x1b[31mb\rc\u202ed\xffe", Notices: []string{strings.Repeat("ä", 1<<20)},
		Mirrors: []status.Mirror{{Endpoints: []status.Endpoint{{RequestsPerHour: math.NaN()}, {RequestsPerHour: math.Inf(1)}}}},
		Started: time.Date(20000, 1, 1, 0, 0, 0, 0, time.UTC),
	})
	if want := "a\ufffd[31mb\ufffdc\ufffdd\ufffde"; s.Node != want {
		t.Errorf("%q, want %q", s.Node, want)
	}
	if n := s.Notices[0]; len(n) > 16<<10 || !utf8.ValidString(n) || !strings.HasSuffix(n, "(cut off)") {
		t.Errorf("%d bytes: %q", len(n), n[max(0, len(n)-40):])
	}
	for _, e := range s.Mirrors[0].Endpoints {
		if e.RequestsPerHour != 0 {
			t.Errorf("%v requests an hour", e.RequestsPerHour)
		}
	}
	if !s.Started.IsZero() {
		t.Errorf("started %v", s.Started)
	}
}

// FuzzShown: for any texts in a snapshot each form is valid, and no text becomes markup, a new
// series or a terminal command.
func FuzzShown(f *testing.F) {
	for _, seed := range []string{"", "docker.io", statustest.Script, "\x1b]0;x\a", "a\nb\r\nc", `{"a":1}`, "https://u:p@h/?q=1", "Basic dXNlcjpwYXNz", "\xff\xfe", "\u202e\u2066", `x"} 1`, "{{.}}", "--><style>"} {
		f.Add(seed)
	}
	plain, _ := elements(f, page(f, everywhere(statustest.Rich(), "x")))
	f.Fuzz(func(t *testing.T, text string) {
		all := shown(t, everywhere(statustest.Rich(), text))
		if !json.Valid([]byte(all["/status"])) {
			t.Errorf("no JSON: %q", all["/status"])
		}
		parser := expfmt.NewTextParser(model.UTF8Validation)
		families, err := parser.TextToMetricFamilies(strings.NewReader(all["/metrics"]))
		if err != nil {
			t.Errorf("no metrics: %v", err)
		}
		for name := range families {
			if strings.HasPrefix(name, "berth_") && !slices.Contains(status.Metrics(), name) {
				t.Errorf("a metric %s", name)
			}
		}
		counts, _ := elements(t, all["/"])
		// The text decides line breaks and whether a text is left out; nothing else depends on it.
		if d := different(counts, plain); text != "" && strings.TrimSpace(text) != "" && d != "" {
			t.Errorf("elements: %s", d)
		}
		for where, body := range all {
			if !utf8.ValidString(body) {
				t.Errorf("%s is no UTF-8", where)
			}
			for _, r := range body {
				if r != '\n' && r != '\t' && !unicode.IsGraphic(r) {
					t.Errorf("%s has %q", where, r)
				}
			}
		}
	})
}

func page(t testing.TB, s status.Snapshot) string {
	_, body := serve(t, s, "GET", "/")
	return body
}

func different(got, want map[string]int) string {
	for _, tag := range slices.Sorted(maps.Keys(got)) {
		if tag != "br" && got[tag] != want[tag] {
			return tag
		}
	}
	return ""
}
