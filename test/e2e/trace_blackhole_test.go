package e2e

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/berth-registry/berth/test/e2e/parts"
	"github.com/berth-registry/berth/test/fakes/blackhole"
)

// blackHole returns an address of loopback that drops every packet until the scenario ends.
func (s *traced) blackHole() string {
	s.Helper()
	port, err := blackhole.Listen()
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { must(s.T, port.Close()) })
	if _, err := port.Swallow(); err != nil {
		s.Fatal(err)
	}
	return port.Addr().String()
}

// TestTraceBlackHole compares berth trace with a containerd that does not know dial_timeout: each
// request waits 30 s for the mirror that drops packets, and then asks the next one, so this pull
// takes minutes. A newer containerd waits as long as its file says.
func TestTraceBlackHole(t *testing.T) {
	t.Parallel() // it only waits
	set, err := parts.Locate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	berth := berthBinary(t)
	measured := regexp.MustCompile(` first, for [1-9](\.\d)?s`) // a loaded machine measures more than 1 s
	waits := false
	for _, v := range variants(set) {
		if strings.HasPrefix(v.name, "1.") {
			if waits {
				continue // one release of 1.x is enough: it waits for minutes
			}
			waits = true
		}
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			b := newDaemonFixture(t, set, v)
			b.berth = berth
			s := newTraced(newFixture(t, b))
			if !s.older {
				s.hosts("docker.io", hostTables("https://"+s.blackHole())+"  dial_timeout = \"1s\"\n"+hostTables(s.url()))
				told := s.trace()
				if !measured.MatchString(told.Verdict.Text) {
					t.Errorf("the verdict does not tell how long each request waits: %s", told.Verdict.Text)
				}
				s.compare(told.Verdict, "mirror", "-", 2*pullTime)
				return
			}
			s.hosts("docker.io", hostTables("http://"+s.blackHole(), s.url()))
			told := s.trace()
			if !strings.Contains(told.Verdict.Text, "each request waits for ") || !strings.Contains(told.Verdict.Text, " first, for 30s") {
				t.Errorf("the verdict does not tell of the waiting: %s", told.Verdict.Text)
			}
			began := time.Now()
			s.compare(told.Verdict, "mirror", "-", 8*time.Minute)
			if waited := time.Since(began); waited < 30*time.Second {
				t.Errorf("the pull took %s: nothing was swallowed", waited)
			}
		})
	}
}
