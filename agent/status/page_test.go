package status_test

import (
	"crypto/sha256"
	"encoding/base64"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/berth-registry/berth/agent/status"
	"github.com/berth-registry/berth/agent/status/statustest"
)

// elements counts the elements of a page and lists its link targets.
func elements(t testing.TB, body string) (counts map[string]int, links []string) {
	t.Helper()
	root, err := html.Parse(strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	counts = map[string]int{}
	for n := range root.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		counts[n.Data]++
		for _, a := range n.Attr {
			if a.Key == "href" {
				links = append(links, a.Val)
			}
			if strings.HasPrefix(a.Key, "on") || a.Key == "style" || a.Key == "src" {
				t.Errorf("<%s %s>", n.Data, a.Key)
			}
		}
	}
	return counts, links
}

func TestPage(t *testing.T) {
	for name, s := range snapshots() {
		resp, body := serve(t, s, "GET", "/")
		counts, links := elements(t, body)
		for _, tag := range []string{"script", "img", "iframe", "object", "embed", "form", "base", "svg"} {
			if counts[tag] > 0 {
				t.Errorf("%s: %d elements %s", name, counts[tag], tag)
			}
		}
		if counts["style"] != 1 || counts["title"] != 1 || counts["link"] != 1 || counts["main"] != 1 || counts["section"] != 6 {
			t.Errorf("%s: elements %v", name, counts)
		}
		for _, l := range links {
			ok := regexp.MustCompile(`\A(#[a-z]+|metrics|status|(readyz|livez)\?verbose|\?|\?refresh=\d+|data:image/svg\+xml,.*|https://github\.com/berth-registry/berth/blob/main/docs/operations\.md#[a-z]+)\z`).MatchString(l)
			if !ok {
				t.Errorf("%s: a link to %q", name, l)
			}
		}
		// The policy allows the page's own style sheet and nothing else.
		style := regexp.MustCompile(`(?s)<style>(.*?)</style>`).FindStringSubmatch(body)[1]
		sum := sha256.Sum256([]byte(style))
		if policy := resp.Header.Get("Content-Security-Policy"); !strings.Contains(policy, "style-src 'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"';") {
			t.Errorf("%s: policy %q", name, policy)
		}
	}
}

// Each alarm has a link to its entry.
func TestPageLinks(t *testing.T) {
	s := statustest.Rich()
	_, body := serve(t, s, "GET", "/")
	_, links := elements(t, body)
	for _, a := range status.Alarms(s) {
		if !slices.Contains(links, "https://github.com/berth-registry/berth/blob/main/"+a.Doc) {
			t.Errorf("no link to %s", a.Doc)
		}
	}
}

// Warnings are not listed under the critical alarms of the same name.
func TestPageSeverities(t *testing.T) {
	s := statustest.Rich()
	_, body := serve(t, s, "GET", "/")
	articles := map[string]string{}
	for _, a := range regexp.MustCompile(`(?s)<article class="alarm (\w+)">(.*?)</article>`).FindAllStringSubmatch(body, -1) {
		articles[a[1]] += a[2]
	}
	for _, a := range status.Alarms(s) {
		if a.Subject != "" && !strings.Contains(articles[string(a.Severity)], `<b class="mono">`+a.Subject+`</b>`) {
			t.Errorf("%s of %s is not among those that are %s", a.Name, a.Subject, a.Severity)
		}
	}
}

func TestPageTimes(t *testing.T) {
	_, body := serve(t, statustest.Healthy(), "GET", "/")
	for _, want := range []string{
		`<time datetime="2026-03-15T01:09:26Z" title="2026-03-15 01:09:26 UTC">in 10h</time>`,
		`<time datetime="2026-03-14T15:09:19Z" title="2026-03-14 15:09:19 UTC">7s ago</time>`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("no %s", want)
		}
	}
}

func TestPageRefresh(t *testing.T) {
	for query, want := range map[string]bool{
		"": false, "?refresh=5": true, "?refresh=30": true, "?refresh=300": true,
		"?refresh=1": false, "?refresh=-5": false, "?refresh=5;url=http://evil.example": false, "?refresh=": false, "?refresh=5%22": false,
	} {
		_, body := serve(t, statustest.Healthy(), "GET", "/"+query)
		if got := strings.Contains(body, `http-equiv="refresh"`); got != want {
			t.Errorf("%q reloads: %v", query, got)
		}
	}
}

// Long lists are cut, and the page says so.
func TestPageCuts(t *testing.T) {
	s := statustest.Healthy()
	for range 50 {
		s.Files.Conflicts = append(s.Files.Conflicts, status.FileNote{Path: "/etc/containerd/certs.d/x/hosts.toml", Reason: "foreign"})
	}
	_, body := serve(t, s, "GET", "/")
	if n := strings.Count(body, "certs.d/x/hosts.toml"); n != 40 {
		t.Errorf("%d lines, want 20 of alarms and 20 of conflicts", n)
	}
	if n := strings.Count(body, "and 30 more"); n != 2 {
		t.Errorf("%d lists say that there is more", n)
	}
}
