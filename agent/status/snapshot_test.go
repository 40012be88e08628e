package status_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/berth-registry/berth/agent/status"
	"github.com/berth-registry/berth/agent/status/statustest"
)

// The output of /status can be read back and gives the same output again.
func TestRoundTrip(t *testing.T) {
	for name, s := range snapshots() {
		_, body := serve(t, s, "GET", "/status")
		got, err := status.Decode([]byte(body))
		if name == "empty" {
			if err == nil {
				t.Error("an empty snapshot is taken for an agent's")
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if _, again := serve(t, got, "GET", "/status"); again != body {
			t.Errorf("%s: read back it says\n%s\nbefore\n%s", name, again, body)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	for _, body := range []string{"", "null", "{}", "[]", `"x"`, "<html>", `{"phase":7}`, `{"phase":"converged","converge":{"durationSeconds":"1s"}}`, `{"phase":"converged","converge":{"durationSeconds":1e300}}`} {
		if s, err := status.Decode([]byte(body)); err == nil {
			t.Errorf("%s is taken for a status: %+v", body, s)
		}
	}
}

// JSON names are a contract with scripts.
func TestJSONNames(t *testing.T) {
	_, body := serve(t, statustest.Rich(), "GET", "/status")
	var tree any
	if err := json.Unmarshal([]byte(body), &tree); err != nil {
		t.Fatal(err)
	}
	camel := regexp.MustCompile(`\A[a-z]+([A-Z][a-z]+)*\z`)
	var walk func(path string, v any)
	walk = func(path string, v any) {
		switch v := v.(type) {
		case map[string]any:
			for k, child := range v {
				if !camel.MatchString(k) && !strings.HasSuffix(path, ".failures") {
					t.Errorf("%s.%s is not in camel case", path, k)
				}
				walk(path+"."+k, child)
			}
		case []any:
			for _, child := range v {
				walk(path+"[]", child)
			}
		case string:
			if strings.HasPrefix(v, "0001-") {
				t.Errorf("%s is a time that is not set", path)
			}
		}
	}
	walk("", tree)
	for _, want := range []string{
		`"readiness": {`, `"ready": false`, `"started": "2026-03-11T12:09:26Z"`, `"probeDurationSeconds": 0.012`, `"windowSeconds": 21600`,
		`"lastSuccess": "2026-03-14T15:08:25Z"`, `"severity": "critical"`, `"doc": "docs/operations.md#configinvalid"`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("no %s in %s", want, body)
		}
	}
	_, body = serve(t, status.Snapshot{}, "GET", "/status")
	for _, want := range []string{`"alarms": []`, `"mirrors": []`, `"tokens": []`, `"errors": []`, `"conflicts": []`} {
		if !strings.Contains(body, want) {
			t.Errorf("no %s in %s", want, body)
		}
	}
}

// A snapshot consists of plain values: no field can hold a secret or marshal in its own way.
func TestSnapshotHoldsPlainValues(t *testing.T) {
	texts := map[string]bool{}
	var walk func(path string, typ reflect.Type)
	walk = func(path string, typ reflect.Type) {
		if typ == reflect.TypeFor[time.Time]() {
			return
		}
		switch typ.Kind() {
		case reflect.Struct:
			for i := range typ.NumField() {
				f := typ.Field(i)
				if !f.IsExported() || f.Anonymous {
					t.Errorf("%s.%s", path, f.Name)
				}
				walk(typ.Name()+"."+f.Name, f.Type)
			}
		case reflect.Slice, reflect.Pointer:
			walk(path, typ.Elem())
		case reflect.Map:
			if typ.Elem().Kind() != reflect.Uint64 {
				t.Errorf("%s holds %s", path, typ)
			}
		case reflect.String:
			texts[path] = true
		case reflect.Bool, reflect.Int, reflect.Uint64, reflect.Float64, reflect.Int64:
		default:
			t.Errorf("%s is a %s", path, typ)
		}
	}
	walk("Snapshot", reflect.TypeFor[status.Snapshot]())

	// The package comment lists the free texts. The others are names chosen by the config, the node
	// or the code, or are derived.
	names := []string{
		"Alarm.Doc", "Alarm.Message", "Alarm.Name", "Alarm.Severity", "Alarm.Subject", "Config.Hash", "Config.Path", "ConfigJSON.Hosts", "ConfigJSON.Path",
		"Containerd.ConfigPath", "Containerd.Reads", "Containerd.Version", "Docker.CertsDir", "Docker.Reads", "Docker.Version", "Endpoint.Basic", "Endpoint.Login",
		"Endpoint.Redirect", "Endpoint.State", "Endpoint.TokenServer", "Endpoint.URL", "FileNote.Path", "Mirror.Directory", "Mirror.Fallback", "Mirror.Upstream",
		"Snapshot.Node", "Snapshot.Phase", "Snapshot.Pool", "Snapshot.Version", "Token.Hosts", "Token.Identity", "Token.Region", "Token.Service", "Token.Source",
	}
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	comment := strings.ReplaceAll(string(doc), "\n// ", " ")
	for text := range texts {
		free := strings.Contains(comment, strings.TrimPrefix(text, "Snapshot.")+",") || strings.Contains(comment, strings.TrimPrefix(text, "Snapshot.")+".") ||
			strings.Contains(comment, strings.TrimPrefix(text, "Snapshot.")+" and")
		if free == slices.Contains(names, text) {
			t.Errorf("%s: is it free text, or a name? Free text is listed in the package comment", text)
		}
	}
}

func TestHuman(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0ms", 12 * time.Millisecond: "12ms", time.Second: "1s", -59 * time.Second: "59s", time.Minute: "1m", 59*time.Minute + 59*time.Second: "59m",
		time.Hour: "1h", 5*time.Hour + 20*time.Minute: "5h20m", 24 * time.Hour: "1d", 75 * time.Hour: "3d3h", 240 * time.Hour: "10d", 9999 * time.Hour: "416d",
	} {
		if got := status.Human(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
	now := statustest.Now()
	for d, want := range map[time.Duration]string{0: "now", time.Hour: "in 1h", -time.Minute: "1m ago", -3 * time.Millisecond: "now"} {
		if got := status.Relative(now, now.Add(d)); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}

func TestText(t *testing.T) {
	for name, s := range snapshots() {
		if name == "hostile" || name == "large" || name == "empty" {
			continue
		}
		var got strings.Builder
		if err := status.WriteText(&got, status.Tidy(s), func(style, text string) string { return "<" + style + ">" + text }); err != nil {
			t.Fatal(err)
		}
		golden := filepath.Join("testdata", name+".txt")
		if *update {
			if err := os.WriteFile(golden, []byte(got.String()), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if got.String() != string(want) {
			t.Errorf("%s: got\n%s\nwant\n%s", name, got.String(), want)
		}
	}
}
