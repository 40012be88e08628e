package page

import (
	"bufio"
	"context"
	_ "embed"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

//go:embed facts.js
var factsScript string

func viewports() []viewport {
	return []viewport{{400, false}, {400, true}, {1400, false}, {1400, true}}
}

// servePages starts the server of made-up snapshots and returns their URLs by name.
func servePages(t *testing.T) map[string]string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "serve")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, "./agent/status/statustest/serve")
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	ctx, stop := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, program, "-listen", "127.0.0.1:0")
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stop()
		if err := cmd.Wait(); err != nil && ctx.Err() == nil {
			t.Error(err)
		}
	})
	urls := map[string]string{}
	for lines := bufio.NewScanner(out); lines.Scan() && lines.Text() != "ready"; {
		urls[filepath.Base(lines.Text())] = lines.Text()
	}
	return urls
}

// faults returns the faults of a page, independent of its content.
func faults(s observed, url string) []string {
	var wrong []string
	add := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	for _, c := range s.Complaints {
		add("the console says: %s", c)
	}
	if s.Hacked || s.Dialogs > 0 {
		add("a script of the page ran")
	}
	if s.Scroll > s.Client {
		add("it is %d wide, where there is room for %d", s.Scroll, s.Client)
	}
	for _, e := range s.Wide {
		add("sticks out: %s", e)
	}
	for _, e := range s.Cut {
		add("cut off: %s", e)
	}
	for _, e := range s.Contrast {
		add("hard to read: %s", e)
	}
	if s.Texts < 10 {
		add("only %d texts", s.Texts)
	}
	for _, l := range s.Labels {
		if !l.Visible || l.Text == "" || l.Contrast < 4.5 {
			add("label %+v", l)
		}
	}
	base := url[:strings.Index(url, "/")+2] + strings.Split(url, "/")[2] + "/"
	for _, r := range s.Requests {
		if !strings.HasPrefix(r, base) && !strings.HasPrefix(r, "data:") {
			add("it asks for %s", r)
		}
	}
	if len(s.Requests) == 0 {
		add("no request was seen")
	}
	for _, h := range s.Handlers {
		add("attribute: %s", h)
	}
	for _, l := range s.Links {
		if !strings.HasPrefix(l, base) && !strings.HasPrefix(l, "https://github.com/berth-registry/berth/") {
			add("it links to %s", l)
		}
	}
	for _, tag := range []string{"script", "img", "iframe", "object", "form", "base", "link"} {
		if n := s.Markup[tag]; n > 1 || n == 1 && tag != "link" {
			add("%d elements %s", n, tag)
		}
	}
	if s.Markup["style"] != 1 || s.Stylesheets != 1 {
		add("%d elements style, %d style sheets at work", s.Markup["style"], s.Stylesheets)
	}
	return wrong
}

func TestPage(t *testing.T) {
	urls := servePages(t)
	browser := startBrowser(t)
	// Texts that must be readable.
	texts := map[string][]string{
		"empty":   {"not ready", "starting", "Alarms 0", "None."},
		"healthy": {"ready", "converged", "no alarm", "quay.io", "no fallback", "ECR token", "in 10h", "76 of 100 pulls"},
		"hostile": {"<script>window.hacked=1</script>", "onerror=", "{{.}}"},
		"large":   {"100 upstreams", "200 endpoints: 190 up, 10 down, 0 unknown; 10 withdrawn", "registry-099.example.com"},
		"rich": {
			"ConfigInvalid", "ConvergeFailing", "TokenMissing", "AllMirrorsDown", "TokenExpiring", "MirrorDown", "LoginRefused",
			"UnsafeRedirect", "FileConflict", "NotWatching", "DockerHubLimit", "no connection within 2s", "no space left on device",
			"is there twice, first in line 27", "another program writes it too", "/var/lib/berth/saved/", "is not authorized to perform",
			"failed: 44 timeout, 2 http_5xx", "240 requests/h", "adopted",
		},
		"waiting": {"another agent runs on this machine", "AnotherAgent", "What to do"},
	}
	labels := map[string][]string{
		"empty":   {"not ready", "none in use"},
		"healthy": {"ready", "up", "valid", "in use"},
		"hostile": {"down", "withdrawn"},
		"large":   {"ready", "up", "down", "withdrawn"},
		"rich":    {"not ready", "critical", "warning", "up", "down", "unknown", "withdrawn", "valid", "expiring", "missing", "waiting", "adopted", "invalid"},
		"waiting": {"not ready", "warning"},
	}
	if len(urls) != len(texts) {
		t.Fatalf("pages %v", urls)
	}
	for name, url := range urls {
		for _, l := range viewports() {
			t.Run(name+"/"+l.String(), func(t *testing.T) {
				s := visit(t, browser, url, l, name)
				for _, w := range faults(s, url) {
					t.Error(w)
				}
				for _, want := range texts[name] {
					if !strings.Contains(flat(s.Text), flat(want)) {
						t.Errorf("not to be read: %q", want)
					}
				}
				for _, want := range labels[name] {
					if !slices.ContainsFunc(s.Labels, func(l Label) bool { return strings.EqualFold(l.Text, want) }) {
						t.Errorf("no label %q", want)
					}
				}
				if s.Refresh != "" {
					t.Errorf("reloads by itself: %q", s.Refresh)
				}
			})
		}
	}
}

// flat is text without differences of spaces and case, which the style sheet may change.
func flat(s string) string { return strings.ToLower(strings.Join(strings.Fields(s), " ")) }

// The page reloads only when asked to, at the intervals that it offers.
func TestRefresh(t *testing.T) {
	urls := servePages(t)
	browser := startBrowser(t)
	for query, want := range map[string]string{"?refresh=300": "300", "?refresh=1": "", "?refresh=0;url=http://evil.example": ""} {
		s := visit(t, browser, urls["healthy"]+query, viewport{1400, false}, "")
		if s.Refresh != want {
			t.Errorf("%s: reloads every %q seconds, want %q", query, s.Refresh, want)
		}
		if !slices.Contains(s.Links, urls["healthy"]+"?refresh=30") {
			t.Errorf("no link to reload: %q", s.Links)
		}
	}
}

// The harness must find each fault that it looks for.
func TestFaultsAreFound(t *testing.T) {
	const filler = "<p>1<p>2<p>3<p>4<p>5<p>6<p>7<p>8<p>9<p>10<p>11"
	const good = `<style>p{color:#000;background:#fff}</style>` + filler
	bad := map[string]string{
		good + `<script>console.error("x")</script>`:                                       "the console says",
		good + `<script>window.hacked=1</script>`:                                          "a script of the page ran",
		good + `<p style="width:3000px">wide`:                                              "where there is room for",
		good + `<div style="position:absolute;left:-50px">out</div>`:                       "sticks out",
		good + `<div style="overflow:hidden;width:20px;white-space:nowrap">cut off?</div>`: "cut off",
		good + `<b style="color:#aaa">pale</b>`:                                            "hard to read: 2.32",
		good + `<b class=label style="color:#fff">white</b>`:                               "label {Text:white",
		good + `<b class=label style="display:none">gone</b>`:                              "label {Text:gone",
		good + `<img src="http://evil.example/x">`:                                         "it asks for http://evil.example/x",
		good + `<a href="javascript:1">x</a>`:                                              "it links to javascript:1",
		good + `<p onclick="1">x`:                                                          "attribute: p onclick",
		good + `<iframe></iframe>`:                                                         "1 elements iframe",
		filler:                                                                             "0 elements style",
		`<style>p{color:#000}</style><p>1`:                                                 "only 1 texts",
		`<meta http-equiv="Content-Security-Policy" content="style-src 'none'">` + good:    "style",
	}
	browser := startBrowser(t)
	body := ""
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprint(w, "<!DOCTYPE html><title>x</title><link rel=icon href=data:,>"+body)
	}))
	defer server.Close()
	check := func() []string {
		return faults(visit(t, browser, server.URL+"/", viewport{400, false}, ""), server.URL+"/")
	}
	body = good
	if wrong := check(); len(wrong) > 0 {
		t.Errorf("a good page: %q", wrong)
	}
	for b, want := range bad {
		body = b
		if wrong := strings.Join(check(), "\n"); !strings.Contains(wrong, want) {
			t.Errorf("%s: found %q, want %q", b, wrong, want)
		}
	}
}
