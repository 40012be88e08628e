package hostsconf

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/berth-registry/berth/internal/managedfile"
	"github.com/berth-registry/berth/internal/managedfile/record"
	"github.com/berth-registry/berth/internal/nodefs"
	"github.com/berth-registry/berth/internal/redact"
)

const certsDir = "/etc/containerd/certs.d"

// node is a machine in a temporary root directory.
type node struct {
	t     testing.TB
	dir   string
	adopt bool
	store *managedfile.Store
}

func newNode(t testing.TB, files map[string]string) *node {
	n := &node{t: t, dir: writeTree(t, files)}
	root, err := nodefs.OpenRoot(n.dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	if n.store, err = managedfile.Open(root, record.DefaultStateDir); err != nil {
		t.Fatal(err)
	}
	return n
}

func (n *node) tree() *Tree {
	return NewTree(n.store, Scope(ScopeName, certsDir, n.adopt), n.t.TempDir())
}

func (n *node) plan(dirs ...Directory) (DesiredFiles, []Change) {
	n.t.Helper()
	desired, err := Build(certsDir, dirs)
	if err != nil {
		n.t.Fatal(err)
	}
	current, err := n.tree().Read(desired)
	if err != nil {
		n.t.Fatal(err)
	}
	return desired, Plan(desired, current)
}

func (n *node) apply(dirs ...Directory) managedfile.Report {
	n.t.Helper()
	desired, changes := n.plan(dirs...)
	report, err := n.tree().Apply(context.Background(), desired, changes)
	if err != nil {
		n.t.Fatal(err)
	}
	return report
}

func (n *node) restore() {
	n.t.Helper()
	if _, err := n.store.Restore(context.Background(), Scope(ScopeName, certsDir, false)); err != nil {
		n.t.Fatal(err)
	}
}

// files lists the files below the root, without Berth's own state: path to content, "dir" for an
// empty directory.
func (n *node) files() map[string]string {
	n.t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(n.dir, func(path string, d fs.DirEntry, err error) error {
		name, _ := filepath.Rel(n.dir, path)
		if err != nil || strings.HasPrefix(name, "var/lib/berth") {
			return err
		}
		if d.IsDir() {
			if entries, _ := os.ReadDir(path); len(entries) == 0 {
				all[name+"/"] = ""
			}
			return nil
		}
		content, err := os.ReadFile(path)
		all[name] = string(content)
		return err
	})
	if err != nil {
		n.t.Fatal(err)
	}
	return all
}

func (n *node) names() string {
	return strings.Join(slices.Sorted(maps.Keys(n.files())), " ")
}

func TestPlanOnExistingFiles(t *testing.T) {
	const base = "etc/containerd/certs.d/"
	simple := func(upstream string) Directory {
		return Directory{Upstream: upstream, Hosts: []Host{mirror(t, "m.corp")}}
	}
	for name, c := range map[string]struct {
		existing  map[string]string
		adopt     bool
		desired   []Directory
		want      string // names below certs.d
		conflicts string
	}{
		"nothing there":         {nil, false, []Directory{simple("docker.io"), simple("*")}, "_default/hosts.toml docker.io/hosts.toml", ""},
		"foreign file":          {map[string]string{"docker.io/hosts.toml": "x"}, false, []Directory{simple("docker.io"), simple("quay.io")}, "docker.io/hosts.toml quay.io/hosts.toml", "docker.io/hosts.toml"},
		"foreign file, adopted": {map[string]string{"docker.io/hosts.toml": "x"}, true, []Directory{simple("docker.io")}, "docker.io/hosts.toml", ""},
		"foreign extra files":   {map[string]string{"docker.io/ca.crt": "x", "docker.io/notes/a": "y"}, false, []Directory{simple("docker.io")}, "docker.io/ca.crt docker.io/hosts.toml docker.io/notes/a", ""},
		"foreign directory":     {map[string]string{"harbor.corp/hosts.toml": "x", "empty/": ""}, false, []Directory{simple("docker.io")}, "docker.io/hosts.toml empty/ harbor.corp/hosts.toml", ""},
		"default of another":    {map[string]string{"_default/hosts.toml": "x"}, false, []Directory{simple("*"), simple("docker.io")}, "_default/hosts.toml docker.io/hosts.toml", "_default/hosts.toml"},
		"other spelling":        {map[string]string{"h:5000/hosts.toml": "x"}, false, []Directory{simple("h:5000")}, "h:5000/hosts.toml", "h:5000/hosts.toml"},
		"other spelling, empty": {map[string]string{"h:5000/": ""}, false, []Directory{simple("h:5000")}, "h:5000/ h_5000_/hosts.toml", ""},
		"other spelling, adopt": {map[string]string{"h:5000/hosts.toml": "x"}, true, []Directory{simple("h:5000")}, "h:5000/hosts.toml h_5000_/hosts.toml", ""},
		"an empty directory":    {map[string]string{"docker.io/": ""}, false, []Directory{simple("docker.io")}, "docker.io/hosts.toml", ""},
		"a directory as a file": {map[string]string{"docker.io/hosts.toml/x": "y"}, false, []Directory{simple("docker.io"), simple("quay.io")}, "docker.io/hosts.toml/x quay.io/hosts.toml", "docker.io/hosts.toml"},
	} {
		t.Run(name, func(t *testing.T) {
			existing := map[string]string{}
			for k, v := range c.existing {
				existing[base+k] = v
			}
			n := newNode(t, existing)
			n.adopt = c.adopt
			before := n.files()
			report := n.apply(c.desired...)
			var conflicts []string
			for _, x := range report.Conflicts {
				conflicts = append(conflicts, strings.TrimPrefix(x.Path, certsDir+"/"))
			}
			if got := strings.Join(conflicts, " "); got != c.conflicts {
				t.Errorf("conflicts %q, want %q", got, c.conflicts)
			}
			if got := strings.ReplaceAll(n.names(), base, ""); got != c.want {
				t.Errorf("files %q, want %q", got, c.want)
			}
			for name, content := range existing {
				if !c.adopt && !strings.HasSuffix(name, "/") && n.files()[name] != content {
					t.Errorf("%s was changed", name)
				}
			}
			for _, again := range n.apply(c.desired...).Changed {
				if again.Action != managedfile.Unchanged {
					t.Errorf("a second apply does %s %s", again.Action, again.Path)
				}
			}
			n.restore()
			if after := n.files(); !maps.Equal(before, after) {
				t.Errorf("after restore: %q, before: %q", after, before)
			}
			n.restore()
		})
	}
}

// If Berth's file exists, a foreign file under the other spelling has no effect: Berth's file is
// kept up to date and the foreign one is reported.
func TestPlanReportsHiddenFile(t *testing.T) {
	n := newNode(t, nil)
	dir := Directory{Upstream: "h:5000", Hosts: []Host{mirror(t, "m.corp")}}
	n.apply(dir)
	theirs := filepath.Join(n.dir, certsDir, "h:5000", "hosts.toml")
	if err := errors.Join(os.Mkdir(filepath.Dir(theirs), 0o755), os.WriteFile(theirs, []byte("x"), 0o644)); err != nil {
		t.Fatal(err)
	}
	dir.Hosts[0] = mirror(t, "other.corp")
	report := n.apply(dir)
	if len(report.Changed) != 1 || report.Changed[0].Action != managedfile.Update {
		t.Errorf("changed %v", report.Changed)
	}
	if len(report.Conflicts) != 1 || !strings.Contains(report.Conflicts[0].Reason, "no effect") {
		t.Errorf("conflicts %v", report.Conflicts)
	}
}

func TestCertificatesComeFirstAndStay(t *testing.T) {
	ca, cert, key := testCertificate(t)
	host := mirror(t, "m.corp")
	host.TLS = TLS{CA: ca, Cert: cert, Key: redact.New(string(key))}
	secured := Directory{Upstream: "docker.io", Hosts: []Host{host}}
	n := newNode(t, nil)
	_, changes := n.plan(secured)
	if last := changes[len(changes)-1]; len(changes) != 4 || last.Path != certsDir+"/docker.io/hosts.toml" {
		t.Fatalf("plan %v", changes)
	}
	n.apply(secured)
	if got, err := Lookup(filepath.Join(n.dir, certsDir), "docker.io"); err != nil || got.Ignored != nil || len(got.Hosts) != 2 {
		t.Errorf("containerd reads %+v, %v", got, err)
	}
	for _, f := range []string{"key-3378f8d7fa6349cb.pem"} {
		info, err := os.Stat(filepath.Join(n.dir, certsDir, poolDir, f))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", f, info, err)
		}
	}

	// No longer needed: hosts.toml is removed at once, the certificates after a grace period.
	n.apply()
	if got := n.names(); strings.Contains(got, "docker.io") || strings.Count(got, poolDir) != 3 {
		t.Errorf("after the mirror went: %s", got)
	}
	n.restore()
	if got := n.names(); got != "./" && got != "" {
		t.Errorf("after restore: %q", got)
	}
}

// A registry can have a CA of the config and one of Docker's layout.
func TestCertificatesOfConfigAndDocker(t *testing.T) {
	ca, _, _ := testCertificate(t)
	const registry = "registry.corp"
	theirs := "etc/containerd/certs.d/" + registry + "/ca.crt"
	n := newNode(t, map[string]string{theirs: string(ca)})
	server := mirror(t, registry)
	server.TLS = TLS{CA: ca, Foreign: &ForeignCertificates{Dir: registry, CA: []string{"ca.crt"}}}
	n.apply(Directory{Upstream: registry, Server: &server})
	if got, err := Lookup(filepath.Join(n.dir, certsDir), registry); err != nil || got.Ignored != nil || len(got.Hosts) != 1 {
		t.Errorf("containerd reads %+v, %v", got, err)
	}
}

// No certificate is written for a foreign file that is left alone.
func TestNoCertificateForAConflict(t *testing.T) {
	ca, _, _ := testCertificate(t)
	host := mirror(t, "m.corp")
	host.TLS.CA = ca
	n := newNode(t, map[string]string{"etc/containerd/certs.d/docker.io/hosts.toml": "x"})
	n.apply(Directory{Upstream: "docker.io", Hosts: []Host{host}})
	if got := n.names(); got != "etc/containerd/certs.d/docker.io/hosts.toml" {
		t.Errorf("files: %s", got)
	}
}

// If containerd would misread one file, nothing is written.
func TestApplyVerifiesFirst(t *testing.T) {
	n := newNode(t, nil)
	desired, changes := n.plan(examples(t)["fallback"], examples(t)["mirror-only"])
	for i := range changes {
		if strings.Contains(changes[i].Path, "docker.io") {
			changes[i].After.Body = []byte("server = 5\n")
		}
	}
	if _, err := n.tree().Apply(context.Background(), desired, changes); !errors.Is(err, ErrReadBack) {
		t.Errorf("error %v", err)
	}
	if got := n.names(); got != "./" && got != "" {
		t.Errorf("written: %s", got)
	}
}

func TestBuildRefuses(t *testing.T) {
	d := Directory{Upstream: "docker.io", Hosts: []Host{mirror(t, "m.corp")}}
	if _, err := Build(certsDir, []Directory{d, d}); err == nil || !strings.Contains(err.Error(), "two directories") {
		t.Errorf("error %v", err)
	}
}

// Installed returns the directories in place after the changes, from which the credential
// provider's rules are made: neither a conflict nor a removed one.
func TestInstalled(t *testing.T) {
	dir := func(upstream string) Directory {
		return Directory{Upstream: upstream, Hosts: []Host{mirror(t, "m.corp")}}
	}
	n := newNode(t, map[string]string{"etc/containerd/certs.d/foreign.corp/hosts.toml": "x"})
	n.apply(dir("same.corp"), dir("gone.corp"))
	desired, changes := n.plan(dir("same.corp"), dir("new.corp"), dir("foreign.corp"))
	var got []string
	for _, d := range desired.Installed(changes) {
		got = append(got, d.Upstream)
	}
	slices.Sort(got)
	if want := []string{"new.corp", "same.corp"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// Certificates get their grace period even if the record does not hold it; a hosts.toml does not.
func TestScopeGracePeriod(t *testing.T) {
	for file, want := range map[string]time.Duration{
		certsDir + "/_berth/ca-1.pem":            caGracePeriod,
		certsDir + "/_berth/hosts.toml":          caGracePeriod,
		certsDir + "/docker.io/hosts.toml":       0,
		certsDir + "/docker.io/_berth":           0,
		certsDir + "/docker.io_berth/hosts.toml": 0,
	} {
		if got := Scope(ScopeName, certsDir, false).GracePeriod(file); got != want {
			t.Errorf("%s stays %s, want %s", file, got, want)
		}
	}
}
