package reconcile

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/hostsconf"
	"github.com/berth-registry/berth/internal/managedfile"
	"github.com/berth-registry/berth/internal/managedfile/record"
	"github.com/berth-registry/berth/internal/nodefs"
	"github.com/berth-registry/berth/test/nodetest"
)

// fullNode is a node on which no file can be written below StateDir while full is true.
func fullNode(t *testing.T, root string) (m *Node, full *atomic.Bool) {
	t.Helper()
	m, full = open(t, root), &atomic.Bool{}
	store, err := managedfile.Open(m.Root, StateDir, managedfile.WithPrivate(rulesName, LastGoodFile, HealthFile, LearnedFile),
		managedfile.WithSteps(func(s nodefs.Step) error {
			if full.Load() && strings.HasPrefix(s.Path, StateDir) {
				return unix.ENOSPC
			}
			return nil
		}))
	if err != nil {
		t.Fatal(err)
	}
	m.Store = store
	return m, full
}

// What must happen to a login while nothing can be recorded, and what must not.
func TestFullStateDirectory(t *testing.T) {
	const (
		mirrors = "mirrors: [{upstream: quay.io, endpoints: [{url: a.corp, headers: {X-Org: [team]}}, {url: b.corp}]}]\n"
		more    = "mirrors: [{upstream: quay.io, endpoints: [{url: a.corp, headers: {X-Org: [team]}}, {url: b.corp}, {url: c.corp}]}]\n"
		bare    = "mirrors: [{upstream: quay.io, endpoints: [{url: a.corp}, {url: b.corp}]}]\n"
		noLogin = "registries: []\n"
		login   = "registries: [{host: a.corp, username: u, password: one}]\n"
		another = "registries: [{host: a.corp, username: u, password: two}]\n"
		also    = "registries: [{host: a.corp, username: u, password: one}, {host: b.corp, username: u, password: three}]\n"
		one     = "Basic dTpvbmU="
		two     = "Basic dTp0d28="
		three   = "Basic dTp0aHJlZQ=="
	)
	for name, c := range map[string]struct {
		before, after string
		dir           string
		has           string   // what the file has before
		while         []string // what it has while the disk is full
		gone          []string // what it has not while the disk is full
	}{
		"the login is removed":                  {mirrors + login, mirrors + noLogin, "quay.io", one, []string{"X-Org", "a.corp", "b.corp"}, []string{"Basic"}},
		"the login is removed, a host is added": {mirrors + login, more + noLogin, "quay.io", one, []string{"X-Org", "a.corp", "b.corp"}, []string{"Basic", "c.corp"}},
		"all headers go":                        {mirrors + login, bare + noLogin, "quay.io", one, []string{"a.corp", "b.corp"}, []string{"Basic", "X-Org", "header"}},
		"the password is another":               {mirrors + login, more + another, "quay.io", one, []string{two, "X-Org"}, []string{one, "c.corp"}},
		"another host is to have a login":       {mirrors + login, mirrors + also, "quay.io", one, []string{one}, []string{three}},
		"the mirror is removed":                 {mirrors + login, noLogin, "quay.io", one, []string{"a.corp"}, []string{"Basic", "X-Org"}},
		"a registry that is asked directly":     {login, noLogin, "a.corp", one, []string{"server", "[host]"}, []string{"Basic", "header"}},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			m, full := fullNode(t, root)
			read := func() string {
				b, err := os.ReadFile(filepath.Join(root, nodetest.CertsDir, c.dir, "hosts.toml"))
				if err != nil {
					t.Fatal(err)
				}
				return string(b)
			}
			if _, err := m.Apply(t.Context(), nodetest.ParseConfig(t, c.before), nil); err != nil {
				t.Fatal(err)
			}
			if body := read(); !strings.Contains(body, c.has) {
				t.Fatalf("to begin with:\n%s", body)
			}
			rules, err := os.ReadFile(filepath.Join(root, StateDir, rulesName))
			if err != nil {
				t.Fatal(err)
			}
			hosts := nodetest.Lookup(t, root, c.dir)

			full.Store(true)
			for range 3 { // the result is stable, and is reported each time
				if _, err := m.Apply(t.Context(), nodetest.ParseConfig(t, c.after), nil); !errors.Is(err, unix.ENOSPC) {
					t.Fatalf("on a full disk: %v", err)
				}
				body := read()
				for _, want := range c.while {
					if !strings.Contains(body, want) {
						t.Errorf("%s is not there:\n%s", want, body)
					}
				}
				for _, gone := range c.gone {
					if strings.Contains(body, gone) {
						t.Errorf("%s is there:\n%s", gone, body)
					}
				}
				if !record.Intact([]byte(body)) {
					t.Errorf("the file does not tell that it is ours:\n%s", body)
				}
			}
			// The rules are as before, so the hosts must be as before.
			if now, err := os.ReadFile(filepath.Join(root, StateDir, rulesName)); err != nil || string(now) != string(rules) {
				t.Fatalf("the fault does not work: the rules were written (%v)", err)
			}
			if now := nodetest.Lookup(t, root, c.dir); now != hosts {
				t.Errorf("the hosts are %s, they were %s", now, hosts)
			}

			// With space again everything is as if it had never been missing.
			full.Store(false)
			result, err := m.Apply(t.Context(), nodetest.ParseConfig(t, c.after), nil)
			if err != nil {
				t.Fatal(err)
			}
			if len(result.Report.Saved) > 0 || len(result.Report.Conflicts) > 0 {
				t.Errorf("our own file was taken for an edit: %+v", result.Summary())
			}
			for _, change := range result.Report.Changed {
				if change.Action == managedfile.Repair {
					t.Errorf("%s was repaired, though it was not changed", change.Path)
				}
			}
			if plan, err := m.Plan(t.Context(), nodetest.ParseConfig(t, c.after)); err != nil || plan.Differs() {
				t.Errorf("%v, %+v", err, plan.Summary())
			}
			if _, err := m.Restore(t.Context(), config.Default()); err != nil {
				t.Fatal(err)
			}
			nothingLeft(t, root)
		})
	}
}

// nothingLeft checks that no trace of Berth is on the node.
func nothingLeft(t *testing.T, root string) {
	t.Helper()
	for _, pattern := range []string{"etc/*", "var/*", "run/*/*"} {
		if left, _ := filepath.Glob(filepath.Join(root, pattern)); len(left) > 0 {
			t.Errorf("left behind: %q", left)
		}
	}
}

const oneMirror = "mirrors: [{upstream: quay.io, endpoints: [{url: a.corp}]}]\n"

// loggedIn is such a node, with a mirror that has a login.
func loggedIn(t *testing.T, root string) (m *Node, full *atomic.Bool) {
	t.Helper()
	m, full = fullNode(t, root)
	if _, err := m.Apply(t.Context(), nodetest.ParseConfig(t, oneMirror+"registries: [{host: a.corp, username: u, password: one}]\n"), nil); err != nil {
		t.Fatal(err)
	}
	return m, full
}

// loggedOut removes the login of the mirror while nothing can be recorded, and leaves it so.
func loggedOut(t *testing.T, m *Node, full *atomic.Bool) {
	t.Helper()
	full.Store(true)
	if _, err := m.Apply(t.Context(), nodetest.ParseConfig(t, oneMirror), nil); !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
}

// Files that are not intact and ours are left alone, whatever their content.
func TestFullDiskLeavesForeignFiles(t *testing.T) {
	root := t.TempDir()
	m, full := loggedIn(t, root)
	file := filepath.Join(root, nodetest.CertsDir, "quay.io", "hosts.toml")
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	edited := string(b) + "# a remark of the operator\n"
	if err := os.WriteFile(file, []byte(edited), 0o600); err != nil {
		t.Fatal(err)
	}
	loggedOut(t, m, full)
	if now, err := os.ReadFile(file); err != nil || string(now) != edited {
		t.Errorf("%v\n%s", err, now)
	}
}

// A disk-full record outlives the process, so the next one knows its files.
func TestDiskFullRecordOutlivesTheProcess(t *testing.T) {
	root := t.TempDir()
	m, full := loggedIn(t, root)
	loggedOut(t, m, full)
	result, err := open(t, root).Apply(t.Context(), nodetest.ParseConfig(t, oneMirror+"registries: [{host: a.corp, username: u, password: two}]\n"), nil)
	if err != nil || len(result.Report.Saved) > 0 {
		t.Errorf("%v, %+v", err, result.Summary())
	}
}

// A restore right after there is space again does not take our own file for edited.
func TestRestoreWithADiskFullRecord(t *testing.T) {
	root := t.TempDir()
	m, full := loggedIn(t, root)
	loggedOut(t, m, full)
	full.Store(false)
	report, err := open(t, root).Restore(t.Context(), config.Default())
	if err != nil || len(report.Saved) > 0 {
		t.Errorf("%v, %+v", err, Summarize(report))
	}
	nothingLeft(t, root)
}

// The result of editing lines is checked with a TOML parser.
func TestSecretLinesRefuseUnknownContent(t *testing.T) {
	for name, body := range map[string]string{
		"no TOML":              "server = \"https://a\"\n[header]\n  Authorization = \"x\"\n[[\n",
		"a value of two lines": "server = \"https://a\"\n\n[header]\n  Authorization = \"\"\"x\n[host]\ny\"\"\"\n\n[host]\n",
		"a bad address":        "server = \"\\q\"\n",
	} {
		if edited, _, err := withoutSecretLines(body, nil, false); err == nil {
			t.Errorf("%s:\n%s", name, edited)
		}
	}
}

// Without any space a header becomes a comment of the same length, and stays one.
func TestSecretLinesInPlace(t *testing.T) {
	const body = `server = "https://a.corp"
capabilities = ["pull", "resolve"]

[header]
  Authorization = "Basic dTpvbmU="
  X-Org = ["team"]

[host."https://b.corp"]
  capabilities = ["pull"]

  [host."https://b.corp".header]
    Authorization = "Basic dTp0aHJlZQ=="
`
	keeps := map[string]hostsconf.Host{"https://a.corp": {Header: map[string][]string{"X-Org": {"team"}}}}
	once, _, err := withoutSecretLines(body, keeps, true)
	if err != nil || len(once) != len(body) || strings.Contains(once, "Basic") || !strings.Contains(once, "X-Org") {
		t.Fatalf("%v\n%s", err, once)
	}
	if twice, _, err := withoutSecretLines(once, keeps, true); err != nil || twice != once {
		t.Errorf("%v\n%s", err, twice)
	}
	if shorter, _, err := withoutSecretLines(once, keeps, false); err != nil || shorter != once {
		t.Errorf("not in place: %v\n%s", err, shorter)
	}
}
