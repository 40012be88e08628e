package hostsconf

import (
	"context"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/berth-registry/berth/internal/managedfile"
)

// unreadableEntry is a file system entry that must not be opened to read it.
type unreadableEntry struct {
	kind     string
	conflict string // reported by a plan if the directory is foreign
}

func unreadableEntries() []unreadableEntry {
	return []unreadableEntry{
		{"fifo", "is a device, socket or fifo, not a file: "},
		{"socket", "is a device, socket or fifo, not a file: "},
		{"directory", "is a directory, not a file: "},
		{"link to a fifo", ""},
		{"sparse", ""},
		{"link to /dev/zero", ""},
	}
}

// put creates the entry under a name. No kind needs root.
func (o unreadableEntry) put(t *testing.T, name string) {
	t.Helper()
	err := os.MkdirAll(filepath.Dir(name), 0o755)
	switch o.kind {
	case "fifo":
		err = errors.Join(err, unix.Mkfifo(name, 0o644))
	case "socket":
		err = errors.Join(err, unix.Mknod(name, unix.S_IFSOCK|0o644, 0))
	case "directory":
		err = errors.Join(err, os.Mkdir(name, 0o755))
	case "link to a fifo":
		err = errors.Join(err, unix.Mkfifo(name+".fifo", 0o644), os.Symlink(filepath.Base(name)+".fifo", name))
	case "sparse":
		err = errors.Join(err, os.WriteFile(name, nil, 0o644), os.Truncate(name, 1<<30))
	case "link to /dev/zero":
		err = errors.Join(err, os.Symlink("/dev/zero", name))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// within fails the test instead of hanging.
func within(t *testing.T, work func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		work()
	}()
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		panic("it hangs") // a goroutine that hangs cannot be ended
	}
}

// Such an entry in a foreign directory, or at the path of Berth's file, does not stop the rest: it
// is reported, credentials are withheld, and the other changes are applied.
func TestUnreadableEntriesAreNotOpened(t *testing.T) {
	for _, o := range unreadableEntries() {
		for name, upstream := range map[string]string{
			"foreign.corp": "foreign.corp", "host:5000": "host:5000", "_default": Default, "docker.io": "docker.io",
		} {
			t.Run(o.kind+" in "+url.PathEscape(name), func(t *testing.T) {
				n := newNode(t, nil)
				file := filepath.Join(n.dir, certsDir, name, fileName)
				o.put(t, file)
				before, err := os.Lstat(file)
				if err != nil {
					t.Fatal(err)
				}
				within(t, func() { n.checkUnreadable(o, name, upstream) })
				after, err := os.Lstat(file)
				if err != nil || !os.SameFile(before, after) || before.Mode() != after.Mode() {
					t.Errorf("it was %v and is %v (%v)", before, after, err)
				}
			})
		}
	}
}

// checkUnreadable plans, applies, looks up and restores with o in place.
func (n *node) checkUnreadable(o unreadableEntry, name, upstream string) {
	t := n.t
	dirs := []Directory{
		{Upstream: "docker.io", Hosts: []Host{mirror(t, "m.corp")}},
		{Upstream: "quay.io", Hosts: []Host{mirror(t, "m.corp")}},
	}
	path := certsDir + "/" + name + "/hosts.toml"
	desired, changes := n.plan(dirs...)
	conflict := ""
	for _, c := range changes {
		if c.Action == managedfile.Conflict && c.Path == path {
			conflict += c.Reason
		}
	}
	switch {
	case upstream == "docker.io" && conflict == "",
		upstream != "docker.io" && (conflict == "") != (o.conflict == ""),
		upstream != "docker.io" && o.conflict != "" && !(strings.HasPrefix(conflict, o.conflict) && strings.HasSuffix(conflict, "remove it")):
		t.Errorf("conflict %q", conflict)
	}
	if err := n.tree().Verify(context.Background(), desired, changes); err != nil {
		t.Error(err)
	}
	for range 2 {
		if got := n.foreignDirectories(dirs...)[upstream]; got != Unreadable {
			t.Errorf("%s is thought to be asked", got)
		}
		n.apply(dirs...)
	}
	at := filepath.Join(n.dir, certsDir)
	if r, err := Lookup(at, "quay.io"); err != nil || len(r.Hosts) != 2 {
		t.Errorf("ours beside it: %+v, %v", r, err)
	}
	if upstream == Default {
		upstream = "any.corp"
	}
	_, err := Lookup(at, upstream)
	if !errors.Is(err, errNotRead) || !strings.Contains(err.Error(), name+"/hosts.toml: ") {
		t.Errorf("lookup: %v", err)
	}
	n.restore()
	if _, err := os.Lstat(filepath.Join(at, "quay.io")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after restore: %v", err)
	}
}

// containerd also opens certificates beside hosts.toml and files that it names.
func TestLookupOpensNoUnreadableCertificate(t *testing.T) {
	for _, o := range unreadableEntries() {
		if o.kind == "directory" || o.kind == "socket" {
			continue // containerd reports it itself, or does not look
		}
		for name, content := range map[string]string{
			"ca.pem":  "ca = \"ca.pem\"\n[host.\"https://m.corp\"]\n",
			"cl.pem":  "[host.\"https://m.corp\"]\nclient = [[\"cl.pem\", \"cl.pem\"]]\n",
			"x.crt":   "",
			"x.cert":  "no TOML",
			"y[1.crt": "",
		} {
			t.Run(o.kind+" "+name, func(t *testing.T) {
				dir := writeTree(t, map[string]string{"quay[/hosts.toml": content, "quay[/other.pem": ""})
				o.put(t, filepath.Join(dir, "quay[", name))
				within(t, func() {
					if _, err := Lookup(dir, "quay["); !errors.Is(err, errNotRead) || !strings.Contains(err.Error(), name+": ") {
						t.Errorf("error %v", err)
					}
				})
			})
		}
	}
}

// containerd skips a hosts.toml that is a symlink to a missing file.
func TestLookupReportsDanglingSymlink(t *testing.T) {
	dir := writeTree(t, map[string]string{"quay.io/": ""})
	if err := os.Symlink("/nowhere/hosts.toml", filepath.Join(dir, "quay.io", fileName)); err != nil {
		t.Fatal(err)
	}
	r, err := Lookup(dir, "quay.io")
	if err != nil || r.Ignored == nil || !strings.Contains(r.Ignored.Error(), "/nowhere/hosts.toml") || len(r.Hosts) != 1 {
		t.Errorf("%+v, %v", r, err)
	}
}

// An entry at a path that containerd never reads is no conflict.
func TestNoConflictForHiddenEntry(t *testing.T) {
	n := newNode(t, map[string]string{"etc/containerd/certs.d/h_5000_/hosts.toml": "[host]\n"})
	unreadableEntry{kind: "fifo"}.put(t, filepath.Join(n.dir, certsDir, "h:5000", fileName))
	unreadableEntry{kind: "fifo"}.put(t, filepath.Join(n.dir, certsDir, "_pool", fileName))
	unreadableEntry{kind: "fifo"}.put(t, filepath.Join(n.dir, certsDir, "foreign.corp", "notes"))
	if _, changes := n.plan(); len(changes) != 0 {
		t.Errorf("plan %+v", changes)
	}
}
