package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// standIn makes this program a stand-in for an agent: "ready", or "deaf", which serves nothing and
// writes for ever.
const standIn = "BENCHAGENT_STAND_IN"

func TestMain(m *testing.M) {
	switch os.Getenv(standIn) {
	case "ready":
		serveReady()
	case "deaf":
		writeForEver(os.Args)
	}
	code := m.Run()
	http.DefaultClient.CloseIdleConnections()
	if err := goleak.Find(); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func serveReady() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err == nil {
		fmt.Fprintf(os.Stderr, `{"msg":"starting"}%s{"msg":"listening","address":%q}%[1]s`, "\n", l.Addr())
		err = http.Serve(l, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

func writeForEver(args []string) {
	dir := ""
	for i, arg := range args {
		if arg == "--root" {
			dir = args[i+1]
		}
	}
	for i := 0; ; i++ {
		name := filepath.Join(dir, "etc", fmt.Sprint(i%1000), fmt.Sprint(i))
		if os.MkdirAll(filepath.Dir(name), 0o755) == nil {
			_ = os.WriteFile(name, nil, 0o600)
		}
	}
}

func newOptions(t *testing.T, agent string) options {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(standIn, agent)
	return options{berth: self, dir: t.TempDir(), out: &bytes.Buffer{}, patience: time.Minute, files: 10, stops: 2}
}

// TestSideBySide: two runs at the same time do not use each other's port or agent.
func TestSideBySide(t *testing.T) {
	o := newOptions(t, "ready")
	pages := map[string]bool{}
	for _, name := range []string{"one", "two"} {
		n, err := newNode(o, name)
		if err != nil {
			t.Fatal(err)
		}
		defer n.close()
		if err := n.start(t.Context()); err != nil {
			t.Fatal(err)
		}
		pages[n.page] = true
	}
	if len(pages) != 2 {
		t.Errorf("two agents have the pages %v", pages)
	}
}

// TestStartedAgain: a second start finds the page of the second agent, although the log still names
// the first.
func TestStartedAgain(t *testing.T) {
	n, err := newNode(newOptions(t, "ready"), "node")
	if err != nil {
		t.Fatal(err)
	}
	defer n.close()
	if err := n.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := n.stop(); err == nil {
		t.Fatal("the stand-in does not end well")
	}
	if err := n.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	response, err := http.Get(n.page)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
}

// TestGivenUp: every trial ends an agent that does not become ready, so that its directory can be
// removed.
func TestGivenUp(t *testing.T) {
	o := newOptions(t, "deaf")
	o.patience = 100 * time.Millisecond
	for _, part := range []string{"drift", "save", "idle", "probes", "stop", "beside"} {
		t.Run(part, func(t *testing.T) {
			t.Setenv("TMPDIR", o.dir)
			err := run(context.Background(), o, []string{part})
			if err == nil || !strings.HasSuffix(err.Error(), "not within 100ms: the agent is ready") {
				t.Errorf("it ended with: %v", err)
			}
			left, err := os.ReadDir(o.dir)
			if err != nil || len(left) > 0 {
				t.Errorf("left behind: %v (%v)", left, err)
			}
		})
	}
}

func TestStopsJudged(t *testing.T) {
	took := func(n int, longest time.Duration) []time.Duration {
		all := make([]time.Duration, n)
		all[n/2] = longest
		return all
	}
	for name, c := range map[string]struct {
		stops stops
		holds bool
	}{
		"all inside":              {stops{took: took(10, time.Second), inside: 10}, true},
		"one of a few inside":     {stops{took: took(10, 20*time.Second), inside: 1}, true},
		"none of a few inside":    {stops{took: took(10, time.Second)}, false},
		"a few, too late":         {stops{took: took(10, 31*time.Second), inside: 10}, false},
		"half of many inside":     {stops{took: took(20, time.Second), inside: 10}, true},
		"fewer than half of many": {stops{took: took(20, time.Second), inside: 9}, false},
		"many, too late":          {stops{took: took(20, 3*time.Second), inside: 20}, false},
		"a torn file":             {stops{took: took(10, time.Second), inside: 10, torn: 1}, false},
		"a file left over":        {stops{took: took(10, time.Second), inside: 10, left: 1}, false},
	} {
		err := c.stops.report(options{out: &bytes.Buffer{}})
		if (err == nil) != c.holds || err != nil && !errors.Is(err, errLimit) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestStopsGoThroughAllFiles(t *testing.T) {
	const stops, files = 10, 300
	last := -1
	for nth := 1; nth <= stops; nth++ {
		i := stopAfter(nth, stops, files)
		if i <= last || i >= files-1 {
			t.Errorf("stop %d comes after file %d, the one before after %d, of %d", nth, i, last, files)
		}
		last = i
	}
	if last < files/2 {
		t.Errorf("the last stop comes after file %d of %d", last, files)
	}
}
