package hostsconf

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	"github.com/berth-registry/berth/internal/managedfile"
)

// foreignDirectories returns the result of [ForeignDirectories] by registry, with the hosts as URLs.
func (n *node) foreignDirectories(dirs ...Directory) map[string]string {
	n.t.Helper()
	desired, changes := n.plan(dirs...)
	current, err := n.tree().Read(desired)
	if err != nil {
		n.t.Fatal(err)
	}
	all := map[string]string{}
	for _, r := range ForeignDirectories(filepath.Join(n.dir, certsDir), changes, current) {
		var hosts []string
		for _, h := range r.Hosts {
			if h.Host == Unreadable {
				hosts = append(hosts, Unreadable)
				if r.Ignored == nil || !strings.Contains(r.Ignored.Error(), certsDir+"/"+r.Dir+"/hosts.toml: ") || !strings.Contains(r.Ignored.Error(), "remove it") {
					n.t.Errorf("%s: %v names no file or no remedy", r.Registry, r.Ignored)
				}
				continue
			}
			hosts = append(hosts, h.URL())
		}
		all[r.Registry] = strings.Join(hosts, " ")
	}
	return all
}

// put writes a file below certs.d, or creates the directory if the name ends in a slash.
func (n *node) put(name, content string) {
	n.t.Helper()
	file := filepath.Join(n.dir, certsDir, name)
	err := os.MkdirAll(filepath.Dir(file), 0o755)
	if strings.HasSuffix(name, "/") {
		err = errors.Join(err, os.MkdirAll(file, 0o755))
	} else {
		err = errors.Join(err, os.WriteFile(file, []byte(content), 0o644))
	}
	if err != nil {
		n.t.Fatal(err)
	}
}

func (n *node) link(target, name string) {
	n.t.Helper()
	name = filepath.Join(n.dir, certsDir, name)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		n.t.Fatal(err)
	}
	if err := os.Symlink(target, name); err != nil {
		n.t.Fatal(err)
	}
}

// The node's containerd resolves a symlink in the node's file system, where the target may be
// another file than for this process, or missing for this process. A symlink is read only if both
// resolve it to the same file.
func TestForeignDirectoriesResolveSymlinks(t *testing.T) {
	const (
		base = "etc/containerd/certs.d/"
		evil = "server = \"https://evil.corp\"\n[host]\n"
		self = "server = \"https://ghcr.io\"\n[host]\n"
	)
	// The same path exists for this process: it must not be read.
	here := filepath.Join(t.TempDir(), "hosts.toml")
	if err := os.WriteFile(here, []byte(self), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		target string // of ghcr.io/hosts.toml
		files  map[string]string
		want   string
	}{
		"a file":                {"", map[string]string{base + "ghcr.io/hosts.toml": evil}, "https://evil.corp/v2"},
		"nothing":               {"", map[string]string{base + "ghcr.io/": ""}, "https://ghcr.io/v2"},
		"out, absolute":         {"/srv-x/hosts.toml", map[string]string{"srv-x/hosts.toml": evil}, Unreadable},
		"out, relative":         {"../../../../srv-x/hosts.toml", map[string]string{"srv-x/hosts.toml": evil}, Unreadable},
		"out, not mounted here": {"/srv-x/hosts.toml", nil, Unreadable},
		"out, another one here": {here, map[string]string{here[1:]: evil}, Unreadable},
		"out by another link":   {"far/hosts.toml", map[string]string{"srv-x/hosts.toml": evil}, Unreadable},
		"absolute, below":       {"/" + base + "real/hosts.toml", map[string]string{base + "real/hosts.toml": evil}, Unreadable},
		"dangling":              {"gone.toml", nil, Unreadable},
		"below":                 {"..data/hosts.toml", map[string]string{base + "ghcr.io/..data/hosts.toml": evil}, "https://evil.corp/v2"},
		"below, beside":         {"../real/hosts.toml", map[string]string{base + "real/hosts.toml": evil}, "https://evil.corp/v2"},
	} {
		for _, wanted := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, our place %t", name, wanted), func(t *testing.T) {
				n := newNode(t, c.files)
				if c.target != "" {
					n.link(c.target, "ghcr.io/hosts.toml")
				}
				if strings.HasPrefix(c.target, "far/") {
					n.link("/srv-x", "ghcr.io/far")
				}
				var dirs []Directory
				if wanted && c.want != "https://ghcr.io/v2" {
					dirs = append(dirs, Directory{Upstream: "ghcr.io", Hosts: []Host{mirror(t, "m.corp")}})
				}
				if got := n.foreignDirectories(dirs...)["ghcr.io"]; got != c.want {
					t.Errorf("hosts %q, want %q", got, c.want)
				}
			})
		}
	}
	n := newNode(t, map[string]string{base + "real/hosts.toml": evil})
	n.link("real", "ghcr.io")
	if got := n.foreignDirectories()["ghcr.io"]; got != Unreadable {
		t.Errorf("a directory that is a link: hosts %q", got)
	}
}

// containerd fails the pull if a certificate file that hosts.toml names is missing, so the copy
// that is read must have it too.
func TestForeignDirectoriesWithCertificates(t *testing.T) {
	ca, _, _ := testCertificate(t)
	const at = "etc/containerd/certs.d/quay.io/"
	for name, c := range map[string]struct {
		ca   string
		want string
	}{
		"beside":       {"ca.pem", "https://m.corp/v2 https://quay.io/v2"},
		"twice":        {"ca.pem\", \"./ca.pem", "https://m.corp/v2 https://quay.io/v2"},
		"next door":    {"../certs/ca.pem", "https://m.corp/v2 https://quay.io/v2"},
		"missing":      {"gone.pem", Unreadable},
		"no PEM":       {"hosts.toml", Unreadable},
		"a link out":   {"out.pem", Unreadable},
		"outside":      {"../../ca.pem", Unreadable},
		"endless":      {"/dev/zero", Unreadable},
		"a fifo":       {"fifo", Unreadable},
		"not a string": {"ca.pem\", 5, \"ca.pem", "https://quay.io/v2"},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t, map[string]string{
				at + "hosts.toml":                     "[host.\"https://m.corp\"]\n  ca = [\"" + c.ca + "\"]\n",
				at + "ca.pem":                         string(ca),
				"etc/containerd/certs.d/certs/ca.pem": string(ca),
				"etc/containerd/ca.pem":               string(ca),
			})
			n.link("/etc/ssl/certs/ca-certificates.crt", "quay.io/out.pem")
			unreadableEntry{kind: "fifo"}.put(t, filepath.Join(n.dir, at, "fifo"))
			var got string
			within(t, func() { got = n.foreignDirectories()["quay.io"] })
			if got != c.want {
				t.Errorf("hosts %q, want %q", got, c.want)
			}
		})
	}
}

// With a TLS key containerd tries https on an http host, and then http: a credential would be sent
// in clear text.
func TestForeignDirectoriesReportPlainHTTPBehindTLSKeys(t *testing.T) {
	n := newNode(t, map[string]string{
		"etc/containerd/certs.d/quay.io/hosts.toml": "server = \"https://quay.io\"\n[host.\"http://plain.corp:5000\"]\n  skip_verify = true\n",
	})
	if got, want := n.foreignDirectories()["quay.io"], "http://plain.corp:5000/v2 https://quay.io/v2"; got != want {
		t.Errorf("hosts %q, want %q", got, want)
	}
}

// With adopt, Berth's file hides a file under the other spelling. The plan must say so.
func TestAdoptReportsHiddenFile(t *testing.T) {
	const theirs = certsDir + "/h:5000/hosts.toml"
	n := newNode(t, map[string]string{theirs[1:]: "x"})
	n.adopt = true
	dir := Directory{Upstream: "h:5000", Hosts: []Host{mirror(t, "m.corp")}}
	for _, action := range []managedfile.Action{managedfile.Create, managedfile.Unchanged} {
		desired, changes := n.plan(dir)
		if len(changes) != 1 || changes[0].Action != action || !strings.Contains(changes[0].Reason, " "+theirs+", ") {
			t.Errorf("plan %+v, want one %s that names %s", changes, action, theirs)
		}
		var out strings.Builder
		if err := WriteDiff(&out, desired, changes, func(_, s string) string { return s }); err != nil {
			t.Fatal(err)
		}
		if action == managedfile.Create && !strings.Contains(out.String(), theirs) {
			t.Errorf("the diff does not tell:\n%s", out.String())
		}
		n.apply(dir)
	}
}

// A conflict that adopt resolves names that remedy and shows the diff of adopting.
func TestConflictShowsAdoptDiff(t *testing.T) {
	dir := Directory{Upstream: "quay.io", Hosts: []Host{mirror(t, "m.corp")}}
	for _, test := range []struct {
		name, file, symlink string
		reason              string
		diff                bool
	}{
		{"file", "server = \"https://theirs.corp\"\n", "", "not written by berth; remove it, or set containerd.onConflict: adopt", true},
		{"symlink", "", "elsewhere", "a symlink that berth did not create; remove it, or set containerd.onConflict: adopt", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			files := map[string]string{}
			if test.file != "" {
				files["etc/containerd/certs.d/quay.io/hosts.toml"] = test.file
			}
			n := newNode(t, files)
			if test.symlink != "" {
				n.link(test.symlink, "quay.io/hosts.toml")
			}
			desired, changes := n.plan(dir)
			if len(changes) != 1 || changes[0].Action != managedfile.Conflict || changes[0].Reason != test.reason {
				t.Fatalf("plan %+v, want one conflict: %s", changes, test.reason)
			}
			var out strings.Builder
			if err := WriteDiff(&out, desired, changes, func(_, s string) string { return s }); err != nil {
				t.Fatal(err)
			}
			shown := strings.Contains(out.String(), "  -server = \"https://theirs.corp\"\n") && strings.Contains(out.String(), "  +[host.\"https://m.corp\"]\n")
			if shown != test.diff {
				t.Errorf("shows the difference: %v, want %v:\n%s", shown, test.diff, out.String())
			}
			n.adopt = true
			if _, changes = n.plan(dir); len(changes) != 1 || changes[0].Action != managedfile.Adopt {
				t.Errorf("with adopt the plan is %+v", changes)
			}
		})
	}
}

// [ForeignDirectories] decides which hosts a credential may reach: it must return exactly the
// directories that containerd uses and that Berth did not write.
func TestForeignDirectories(t *testing.T) {
	const (
		evil  = "server = \"https://evil.corp\"\n[host]\n"
		asked = "https://evil.corp/v2"
	)
	dir := func(upstream string) Directory {
		return Directory{Upstream: upstream, Hosts: []Host{mirror(t, "m.corp")}}
	}
	for name, c := range map[string]struct {
		applied []Directory // by Berth, before
		files   map[string]string
		adopt   bool
		wanted  []Directory
		want    map[string]string
	}{
		"none":                   {nil, nil, false, nil, map[string]string{}},
		"ours to come":           {nil, nil, false, []Directory{dir("quay.io")}, map[string]string{}},
		"ours":                   {[]Directory{dir("quay.io")}, nil, false, []Directory{dir("quay.io")}, map[string]string{}},
		"ours and another":       {[]Directory{dir("quay.io")}, map[string]string{"ghcr.io/hosts.toml": evil}, false, []Directory{dir("quay.io")}, map[string]string{"ghcr.io": asked}},
		"ours, adopted":          {nil, map[string]string{"quay.io/hosts.toml": evil}, true, []Directory{dir("quay.io")}, map[string]string{}},
		"theirs in our place":    {nil, map[string]string{"quay.io/hosts.toml": evil}, false, []Directory{dir("quay.io")}, map[string]string{"quay.io": asked}},
		"ours that goes":         {[]Directory{dir("quay.io")}, nil, false, nil, map[string]string{}},
		"ours that goes, a note": {[]Directory{dir("quay.io")}, map[string]string{"quay.io/README": "R"}, false, nil, map[string]string{}},
		"hidden by ours":         {[]Directory{dir("h:5000")}, map[string]string{"h:5000/hosts.toml": evil}, false, []Directory{dir("h:5000")}, map[string]string{}},
		"hidden by ours to come": {nil, map[string]string{"h:5000/hosts.toml": evil}, true, []Directory{dir("h:5000")}, map[string]string{}},
		"hidden by theirs":       {nil, map[string]string{"h:5000/hosts.toml": evil, "h_5000_/": ""}, false, nil, map[string]string{"h:5000": "https://h:5000/v2"}},
		"not hidden":             {nil, map[string]string{"h:5000/hosts.toml": evil}, false, []Directory{dir("h:5000")}, map[string]string{"h:5000": asked}},
		"no registry":            {nil, map[string]string{"_pool/hosts.toml": evil, "a_b/hosts.toml": evil}, false, nil, map[string]string{}},
		"default":                {nil, map[string]string{"_default/hosts.toml": "[host.\"https://evil.corp\"]\n"}, false, nil, map[string]string{"*": asked}},
		"default, with a server": {nil, map[string]string{"_default/hosts.toml": evil}, false, nil, map[string]string{"*": asked}},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t, nil)
			n.apply(c.applied...)
			for name, content := range c.files {
				n.put(name, content)
			}
			n.adopt = c.adopt
			if got := n.foreignDirectories(c.wanted...); !maps.Equal(got, c.want) {
				t.Errorf("%v, want %v", got, c.want)
			}
		})
	}
}

// Without a server, [Default] ends at the registry itself, which is not a host of the file.
func TestForeignDirectoriesAndUpstream(t *testing.T) {
	for content, want := range map[string]bool{
		"[host.\"https://m.corp\"]\n":                              true,
		"server = \"https://s.corp\"\n[host.\"https://m.corp\"]\n": false,
	} {
		n := newNode(t, map[string]string{certsDir[1:] + "/_default/hosts.toml": content})
		current, err := n.tree().Read(DesiredFiles{})
		if err != nil {
			t.Fatal(err)
		}
		all := ForeignDirectories(filepath.Join(n.dir, certsDir), nil, current)
		if len(all) != 1 || all[0].Ignored != nil || all[0].AndUpstream != want || all[0].Hosts[0].URL() != "https://m.corp/v2" {
			t.Errorf("%s: %+v, want AndUpstream %t", content, all, want)
		}
	}
}

func TestCrashing(t *testing.T) {
	const kills = "[host]\nx = 1\n[host.\"https://m.corp\"]\n"
	n := newNode(t, map[string]string{
		certsDir[1:] + "/bad.corp/hosts.toml":  kills,
		certsDir[1:] + "/good.corp/hosts.toml": "[host.\"https://m.corp\"]\n",
		certsDir[1:] + "/none.corp/README":     kills,
		certsDir[1:] + "/ours.corp/hosts.toml": kills,
		certsDir[1:] + "/_pool/hosts.toml":     kills,
	})
	n.adopt = true
	desired, changes := n.plan(Directory{Upstream: "ours.corp", Hosts: []Host{mirror(t, "m.corp")}})
	current, err := n.tree().Read(desired)
	if err != nil {
		t.Fatal(err)
	}
	if got := Crashing(filepath.Join(n.dir, certsDir), changes, current); !slices.Equal(got, []string{"bad.corp"}) {
		t.Errorf("crashes on %v", got)
	}
	if got := Crashing(filepath.Join(n.dir, "gone"), changes, current); got != nil {
		t.Errorf("crashes on %v, where no certs.d is", got)
	}
}

// The agent reads foreign directories again and again: no file stays open and no stage is left.
func TestForeignDirectoriesLeaveNothingOpen(t *testing.T) {
	// Otherwise the garbage collector may close a file that the code left open.
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	scratch := t.TempDir()
	t.Setenv("TMPDIR", scratch)
	n := newNode(t, map[string]string{
		certsDir[1:] + "/quay.io/hosts.toml": "[host.\"https://m.corp\"]\n  ca = \"ca.pem\"\n", certsDir[1:] + "/quay.io/ca.pem": "",
	})
	open := func() int {
		t.Helper()
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	current, err := n.tree().Read(DesiredFiles{})
	if err != nil {
		t.Fatal(err)
	}
	before := open()
	for range 5 {
		ForeignDirectories(filepath.Join(n.dir, certsDir), nil, current)
		Crashing(filepath.Join(n.dir, certsDir), nil, current)
	}
	if after := open(); after != before {
		t.Errorf("%d files are open, and were %d", after, before)
	}
	if left, err := filepath.Glob(filepath.Join(scratch, stagePrefix+"*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
