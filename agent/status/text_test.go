package status_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/berth-registry/berth/agent/status"
	"github.com/berth-registry/berth/agent/status/statustest"
)

func textOf(t *testing.T, s status.Snapshot, paint func(style, text string) string) string {
	t.Helper()
	var b strings.Builder
	if err := status.WriteText(&b, status.Tidy(s), paint); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func plainText(_, text string) string { return text }

// No line is wider than 80 columns, except a single word.
func TestTextFits80Columns(t *testing.T) {
	long := statustest.Rich()
	name := strings.Repeat("a-long-label.", 5) + "example.com"
	long.Node = name
	long.Mirrors[0].Upstream = name
	for i := range long.Mirrors[0].Endpoints {
		long.Mirrors[0].Endpoints[i].URL = "https://" + name + "/v2/hub"
		long.Mirrors[0].Endpoints[i].Login = "login of " + name
	}
	long.Files.Conflicts[0].Path = "/etc/containerd/certs.d/" + name + "/hosts.toml"
	all := snapshots()
	all["long names"] = long
	delete(all, "hostile") // its states are not Berth's words
	for name, s := range all {
		for line := range strings.Lines(textOf(t, s, plainText)) {
			line = strings.TrimRight(line, "\n")
			if utf8.RuneCountInString(line) > 80 && len(strings.Fields(line)) > 2 {
				t.Errorf("%s: %d columns: %s", name, utf8.RuneCountInString(line), line)
			}
			if strings.HasSuffix(line, " ") {
				t.Errorf("%s: ends in a space: %q", name, line)
			}
		}
	}
}

// The text repeats nothing that an alarm shows.
func TestTextSaysThingsOnce(t *testing.T) {
	text := strings.Join(strings.Fields(textOf(t, statustest.Rich(), plainText)), " ")
	for _, what := range []string{
		"no space left on device", "scheme must be http or https", "too many open files", "is not authorized to perform", "4 of 100 pulls",
		"config_path is not set", "left out of hosts.toml", "instance profile: no role", "docs/operations.md",
	} {
		if n := strings.Count(text, what); n != 1 {
			t.Errorf("%d times: %s", n, what)
		}
	}
}

// A ready node with a critical alarm is not shown in green.
func TestReadyIsNotGreenBesideCriticalAlarms(t *testing.T) {
	s := statustest.Healthy()
	first := func() string {
		line, _, _ := strings.Cut(textOf(t, s, func(style, text string) string { return style + " " + text }), "\n")
		return line
	}
	_, page := serve(t, s, "GET", "/")
	if !strings.HasPrefix(first(), "add ") || !strings.Contains(page, `<span class="label up">ready</span>`) {
		t.Errorf("healthy: %s", first())
	}
	s.Containerd.Reads = status.ReadsNo
	_, page = serve(t, s, "GET", "/")
	if !strings.HasPrefix(first(), "conflict ") || !strings.Contains(first(), "1 critical alarm") || !strings.Contains(page, `<span class="label warning">ready</span>`) {
		t.Errorf("with a critical alarm: %s", first())
	}
}
