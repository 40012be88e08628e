package managedfile

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/berth-registry/berth/internal/managedfile/record"
	"github.com/berth-registry/berth/internal/nodefs"
)

// noRecord makes every write of the state directory fail, and with noSpace every new file too.
func noRecord(on, noSpace *bool) Option {
	return WithSteps(func(s nodefs.Step) error {
		if *on && strings.HasPrefix(s.Path, record.DefaultStateDir) || *noSpace && s.Op == "create" {
			return unix.ENOSPC
		}
		return nil
	})
}

// Files that were written without the record are Berth's: for the next process, for Apply and for
// Restore.
func TestApplyUnrecorded(t *testing.T) {
	var full, noSpace bool
	w := openWorld(t, t.TempDir(), noRecord(&full, &noSpace))
	defer w.close()
	w.write(certs+"/foreign.io/hosts.toml", "foreign\n", 0o644)
	base := w.tree("/")
	w.apply(hosts("docker.io", "old\n"), hosts("quay.io", "old\n"))
	full = true
	for _, body := range []string{"one\n", "two\n"} {
		r, err := w.store.ApplyUnrecorded(w.ctx(), w.scope, w.unrecorded(body))
		w.must(err)
		w.expect(actions(r.Changed), "update docker.io/hosts.toml, update quay.io/hosts.toml")
		w.restart()
	}
	if b := w.read(docker); !strings.HasSuffix(b, "\ntwo\n") || !record.Intact([]byte(b)) {
		t.Errorf("%q", b)
	}
	full = false
	r := w.apply(hosts("docker.io", "two\n"))
	w.expect(actions(r.Changed), "update docker.io/hosts.toml, remove quay.io/hosts.toml")
	if len(r.Saved) > 0 {
		t.Errorf("saved %v", r.Saved)
	}
	w.expect(actions(w.plan(hosts("docker.io", "two\n"))), "unchanged docker.io/hosts.toml")
	_, err := w.store.ApplyUnrecorded(w.ctx(), w.scope, w.unrecorded("three\n"))
	w.must(err)
	if r := w.restore(); len(r.Saved) > 0 {
		t.Errorf("saved %v", r.Saved)
	}
	w.same(base)
}

// An edit of such a file is an edit, as of any of Berth's files.
func TestEditOfAnUnrecordedFile(t *testing.T) {
	w := newWorld(t)
	w.apply(hosts("docker.io", "old\n"))
	_, err := w.store.ApplyUnrecorded(w.ctx(), w.scope, w.unrecorded("new\n"))
	w.must(err)
	w.append(docker, "edit\n")
	r := w.apply(hosts("docker.io", "new\n"))
	w.expect(actions(r.Changed), "repair docker.io/hosts.toml")
	if len(r.Saved) != 1 {
		t.Errorf("saved %v", r.Saved)
	}
}

// Only updates of Berth's files that carry the marker can be made without the record.
func TestApplyUnrecordedRefuses(t *testing.T) {
	w := newWorld(t)
	w.apply(hosts("docker.io", "old\n"))
	for name, change := range map[string]func(*Change){
		"another action":   func(c *Change) { c.Action = Adopt },
		"a foreign file":   func(c *Change) { c.Before.Owner = Foreign },
		"an edited file":   func(c *Change) { c.Before.Owner = Edited },
		"the usual marker": func(c *Change) { c.After.Unrecorded = false },
		"no marker":        func(c *Change) { c.After.Comment = "" },
		"another path":     func(c *Change) { c.After.Path = quay },
	} {
		updates := w.unrecorded("new\n")
		change(&updates[0])
		if r, err := w.store.ApplyUnrecorded(w.ctx(), w.scope, updates); err == nil || len(r.Changed) > 0 {
			t.Errorf("%s: %v", name, r)
		}
	}
	w.expect(w.read(docker), string(hosts("docker.io", "old\n").Content()))
}

// Bodies that differ in two lines.
const (
	secretBody = "a = 'one'\nb = 'secret'\nc = 'three'\nd = 'secret'\n"
	maskedBody = "a = 'one'\n#-----------\nc = 'three'\n#-----------\n"
)

// A kill or a failure at each step of ApplyUnrecorded, also of a change in place, leaves lines that
// are old, new or comments.
func TestStoppedAtEveryStepWithoutTheRecord(t *testing.T) {
	for _, inPlace := range []bool{false, true} {
		for _, crash := range []bool{true, false} {
			for _, next := range []string{"apply", "restore"} {
				t.Run(fmt.Sprintf("in place %v, crash %v then %s", inPlace, crash, next), func(t *testing.T) {
					t.Parallel()
					var base map[string]string
					var wanted []File
					everyStep(t, crash, func(w *world) func() error {
						w.mkdir(certs, 0o755)
						base = w.tree("/etc")
						wanted = nil
						files := 10
						if inPlace { // a file has more steps
							files = 5
						}
						for i := range files {
							wanted = append(wanted, hosts(fmt.Sprintf("r%d.io", i), secretBody))
						}
						w.apply(wanted...)
						updates := w.unrecorded(maskedBody)
						for i := range updates {
							updates[i].InPlace = inPlace
						}
						return func() error {
							_, err := w.store.ApplyUnrecorded(w.ctx(), w.scope, updates)
							return err
						}
					}, func(w *world, _ error) {
						for _, f := range wanted {
							// A reader sees each line as it was, or as a comment. Only a change
							// in place that was stopped leaves a file whose hash does not fit.
							b := w.read(f.Path)
							if !inPlace && !record.Intact([]byte(b)) || !linesOf(b, secretBody, maskedBody) {
								t.Errorf("%s is torn: %q", f.Path, b)
							}
						}
						if next == "apply" {
							if r := w.apply(wanted...); !inPlace && len(r.Saved) > 0 {
								t.Errorf("saved %v", r.Saved)
							}
							w.expect(actions(w.plan(wanted...)), actions(unchanged(wanted)))
						}
						w.restore()
						w.restore(w.scope)
						w.checkRestored(base)
					})
				})
			}
		}
	}
}

// linesOf reports whether each line below the marker is that of one of two bodies, or a comment.
func linesOf(content, one, other string) bool {
	lines, a, b := strings.Split(content, "\n")[1:], strings.Split(one, "\n"), strings.Split(other, "\n")
	return len(lines) == len(a) && !slices.ContainsFunc(lines, func(line string) bool {
		return !slices.Contains(a, line) && !slices.Contains(b, line) && !strings.HasPrefix(line, "#")
	})
}
