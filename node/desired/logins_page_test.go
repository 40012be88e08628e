package desired

import (
	"os"
	"strings"
	"testing"

	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/hostsconf"
	"github.com/berth-registry/berth/node/probestate"
)

// TestLoginsPage compares the columns of docs/logins.md with channelOf, for each release of
// containerd and for Docker Engine.
func TestLoginsPage(t *testing.T) {
	page, err := os.ReadFile("../../docs/logins.md")
	if err != nil {
		t.Fatal(err)
	}
	columns := map[int][]Readers{
		5: {readersOf(t, "1.6.20"), readersOf(t, "1.7.28"), readersOf(t, "2.0.14")},
		6: {readersOf(t, "2.1.0"), readersOf(t, "2.1.9"), readersOf(t, "2.2.9"), readersOf(t, "2.3.7"), readersOf(t, "2.4.2")},
		7: {{Docker: &Docker{}}},
	}
	rows, seen := 0, map[string]bool{}
	for line := range strings.Lines(string(page)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) != 9 || !strings.HasPrefix(strings.TrimSpace(cells[1]), "`") {
			continue
		}
		rows++
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		u := hostsconf.UpstreamURL(strings.Trim(cells[1], "`"), false)
		fact := probestate.Fact{Basic: probestate.Accepted}
		if server, ok := strings.CutPrefix(cells[4], "Bearer at "); ok {
			fact = probestate.Fact{Basic: probestate.Refused, Realm: "https://" + strings.Trim(server, "`")}
		} else if cells[4] != "Basic" {
			t.Errorf("%s: it asks for %q", cells[0], cells[4])
		}
		for column, readers := range columns {
			for _, r := range readers {
				c := channelOf(u, config.AuthAuto, nil, r, fact)
				want := "kubelet"
				switch {
				case c.Header && c.Serves:
					want = "header"
				case c.Header:
					t.Errorf("%s: a header that does not serve: %s", cells[0], c.Why)
				case r.Docker != nil:
					want = "client"
				}
				seen[want] = true
				if server, ok := strings.CutPrefix(fact.Realm, "https://"); ok && column == 6 && want == "kubelet" {
					if listed := channelOf(u, config.AuthAuto, []string{server}, r, fact); !listed.Header || !listed.Serves {
						t.Errorf("%s: with tokenRealms: [%s]: %s", cells[0], server, listed.Why)
					}
				}
				if cells[column] != want {
					t.Errorf("%s: column %d is %q; for %+v it is %s (%s)", cells[0], column, cells[column], r, want, c.Why)
				}
			}
		}
	}
	if rows < 18 || len(seen) != 3 {
		t.Errorf("%d rows with %v: were some not found?", rows, seen)
	}
}
