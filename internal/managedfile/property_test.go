package managedfile

import (
	"os"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/berth-registry/berth/internal/managedfile/record"
)

// The property: after any sequence of applies and foreign changes, Restore leaves the tree that the
// foreign changes alone would have made, and no foreign content is ever lost on the way.
//
// A change is foreign unless it is an in-place edit that keeps a marker line, a change of mode, or
// the removal of one of Berth's files. Those are edits of Berth's file: their content is kept as a
// copy, and they are not replayed. Of two changes without an apply in between, only the result is
// seen.

var (
	propHosts = []string{"a.io", "b.io", "c.io"}
	propNames = []string{"hosts.toml", "ca.pem"}
)

func TestRestoreReplaysOnlyForeignChanges(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) { runSequence(t, rt, false) })
}

func TestNothingIsLostWithTheRecord(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) { runSequence(t, rt, true) })
}

func runSequence(t *testing.T, rt *rapid.T, lose bool) {
	m := newSequence(t, rt)
	defer m.w.close()
	m.lossy = lose
	steps := map[string]func(*rapid.T){
		"apply":         m.apply,
		"restart":       func(*rapid.T) { m.w.restart() },
		"write":         m.foreignWrite,
		"append":        m.foreignAppend,
		"delete":        m.foreignDelete,
		"chmod":         m.foreignChmod,
		"link":          m.foreignLink,
		"mkdir":         m.foreignMkdir,
		"remove dir":    m.foreignRemoveDir,
		"unrecorded":    m.applyUnrecorded,
		"link dir":      m.foreignLinkDir,
		"apply, again ": m.apply, // twice as often as the others
	}
	if lose {
		steps["lose the record"] = func(*rapid.T) { m.w.remove(record.DefaultStateDir + "/state.json") }
	}
	rt.Repeat(steps)
	m.restore()
	once := m.w.tree("/etc")
	m.restore()
	if d := diffTrees(m.w.tree("/etc"), once); d != "" {
		rt.Fatalf("the second restore changed something:\n%s", d)
	}
}

// sequence is a node and its expected state without Berth.
type sequence struct {
	w     *world
	rt    *rapid.T
	lossy bool
	clock int64

	start map[string]string // the tree before everything
	files map[string]string // foreign entry at a path, described
	dirs  map[string]string // the same for a host's directory
	has   map[string]bool   // the record holds the path
	made  map[string]bool   // Berth created the directory
	gone  map[string]bool   // the directory was foreign and Berth removed it
	want  []File
}

func newSequence(t *testing.T, rt *rapid.T) *sequence {
	dir, err := os.MkdirTemp(fastDir(t), "")
	if err != nil {
		rt.Fatalf("%v", err)
	}
	m := &sequence{
		w: openWorld(rt, dir), rt: rt,
		files: map[string]string{}, dirs: map[string]string{},
		has: map[string]bool{}, made: map[string]bool{}, gone: map[string]bool{},
	}
	m.w.scope.GracePeriod = func(string) time.Duration { return 0 }
	switch rapid.SampledFrom([]string{"no certs.d", "no state", "both"}).Draw(rt, "node") {
	case "no state":
		m.w.mkdir(certs, 0o750)
	case "both":
		m.w.mkdir(certs, 0o755)
		m.w.mkdir(record.DefaultStateDir, 0o755)
	}
	m.start = m.w.tree("/")
	return m
}

func eachPath(f func(dir, p string)) {
	for _, h := range propHosts {
		for _, n := range propNames {
			f(certs+"/"+h, certs+"/"+h+"/"+n)
		}
	}
}

// Actions of Berth.

func (m *sequence) apply(rt *rapid.T) {
	w := m.w
	// Always too slow for the repair limit, which has its own test.
	w.now = w.now.Add(rapid.SampledFrom([]time.Duration{40 * time.Second, 6 * time.Minute, time.Hour}).Draw(rt, "time"))
	w.scope.Adopt = rapid.Bool().Draw(rt, "adopt")
	m.want = nil
	eachPath(func(dir, p string) {
		if !rapid.Bool().Draw(rt, "want "+p) {
			return
		}
		f := File{Path: p, Comment: "#", Mode: 0o644, Body: []byte(rapid.SampledFrom([]string{"", "1\n", "2\n"}).Draw(rt, "body"))}
		if path.Base(p) == "ca.pem" {
			f.Mode = 0o600
			f.GracePeriod = rapid.SampledFrom([]time.Duration{0, 10 * time.Minute}).Draw(rt, "linger")
		} else if m.wants(dir + "/ca.pem") {
			f.Needs = []string{dir + "/ca.pem"}
		}
		m.want = append(m.want, f)
	})
	before := m.look()
	changes := w.plan(m.want...)
	r, err := w.store.Apply(w.ctx(), w.scope, changes)
	w.must(err)
	if len(r.Skipped) != len(slices.DeleteFunc(slices.Clone(r.Skipped), func(c Change) bool { return strings.Contains(c.Reason, "need") })) {
		rt.Logf("skipped for a need: %s", actions(r.Skipped))
	}
	m.after(before, false)
	again := w.plan(m.want...)
	for _, c := range again {
		if c.Action != Unchanged && c.Action != Conflict && c.Action != GracePeriod && !needsConflict(c, again) {
			rt.Fatalf("after the apply (%s) still to do: %s %s %s", actions(changes), c.Action, c.Path, c.Reason)
		}
	}
	if left := w.temps(); len(left) > 0 {
		rt.Fatalf("left: %v", left)
	}
}

// applyUnrecorded updates Berth's files without the record, and no other file.
func (m *sequence) applyUnrecorded(rt *rapid.T) {
	before := m.contents()
	_, err := m.w.store.ApplyUnrecorded(m.w.ctx(), m.w.scope, m.w.unrecorded(rapid.SampledFrom([]string{"1\n", "3\n"}).Draw(rt, "body")))
	m.w.must(err)
	for p, content := range m.contents() {
		if content != before[p] && !record.Intact([]byte(before[p])) {
			rt.Fatalf("%s: %q is lost", p, before[p])
		}
	}
}

func needsConflict(c Change, all []Change) bool {
	return c.After != nil && slices.ContainsFunc(all, func(n Change) bool {
		return n.Action == Conflict && slices.Contains(c.After.Needs, n.Path)
	})
}

func (m *sequence) wants(p string) bool {
	return slices.ContainsFunc(m.want, func(f File) bool { return f.Path == p })
}

// seen is the node before a run.
type seen struct {
	tree  map[string]string
	bytes map[string]string // contents of regular files
	saved map[string]bool   // contents of copies
}

// look records the changes that others made.
func (m *sequence) look() seen {
	s := seen{tree: m.w.tree("/"), bytes: m.contents(), saved: m.copies()}
	for _, p := range []string{"/etc", "/etc/containerd", certs} {
		if !m.made[certs] && s.tree[p] != "" {
			m.start[p] = s.tree[p]
		}
	}
	for _, h := range propHosts {
		dir := certs + "/" + h
		line := s.tree[dir]
		switch {
		case strings.HasPrefix(line, "d") && (!m.made[dir] || m.dirs[dir] != ""):
			m.dirs[dir], m.gone[dir] = line, m.gone[dir] && m.made[dir]
		case !m.made[dir] && (!m.gone[dir] || line != ""):
			delete(m.dirs, dir)
			m.gone[dir] = false
		}
	}
	eachPath(func(_, p string) {
		line, there := s.tree[p]
		switch {
		case !there && !m.has[p]:
			delete(m.files, p)
		case m.has[p] && strings.HasPrefix(line, "d"):
			// It only blocks the path; the entry before it still counts.
		case there && (!m.has[p] || !isRegular(line) || !record.HasMarker([]byte(s.bytes[p]))):
			m.files[p] = line
		}
	})
	return s
}

// after checks that a run kept foreign content, and records which files are Berth's now.
func (m *sequence) after(before seen, restored bool) {
	tree, now, saved := m.w.tree("/"), m.contents(), m.copies()
	for p, content := range before.bytes {
		if !record.Intact([]byte(content)) && now[p] != content && !saved[content] {
			m.rt.Fatalf("%s: %q is lost", p, content)
		}
	}
	for content := range before.saved {
		if !saved[content] && !slices.Contains(values(now), content) {
			m.rt.Fatalf("the copy of %q is lost", content)
		}
	}
	if m.lossy {
		return
	}
	if before.tree[certs] == "" && tree[certs] != "" {
		m.made[certs] = true
	}
	had := map[string]bool{}
	eachPath(func(dir, p string) {
		had[dir] = had[dir] || m.has[p]
		ours := isRegular(tree[p]) && record.StartsWithMarker([]byte(now[p]))
		blocked := before.tree[dir] != "" && !strings.HasPrefix(before.tree[dir], "d")
		had := m.has[p]
		m.has[p] = !restored && (ours || had && m.wants(p))
		if had && !m.has[p] && blocked {
			delete(m.files, p)
		}
		if had && !m.has[p] && strings.HasPrefix(before.tree[p], "d") {
			m.files[p] = before.tree[p]
		}
		if !m.has[p] && tree[p] != m.files[p] {
			m.rt.Fatalf("%s is somebody's:\nis   %s\nwant %s", p, tree[p], m.files[p])
		}
	})
	for _, h := range propHosts {
		m.afterDir(certs+"/"+h, before.tree, tree, had, restored)
	}
}

func (m *sequence) afterDir(dir string, before, tree map[string]string, had map[string]bool, restored bool) {
	was, is := strings.HasPrefix(before[dir], "d"), strings.HasPrefix(tree[dir], "d")
	holds := false
	for _, n := range propNames {
		holds = holds || m.has[dir+"/"+n]
	}
	switch {
	case restored:
		return // compared as a whole
	case !was && before[dir] != "" && tree[dir] != before[dir]:
		m.rt.Fatalf("%s is somebody's: %q became %q", dir, before[dir], tree[dir])
	case was && is && tree[dir] != before[dir]:
		m.rt.Fatalf("%s: %q became %q", dir, before[dir], tree[dir])
	case !was && is && holds:
		m.made[dir] = true
	case !was && is: // with a restored original
		if !m.made[dir] {
			m.dirs[dir] = tree[dir]
		}
	case was && !is && !had[dir]:
		m.rt.Fatalf("%s is gone, and was not ours", dir)
	case !was && !is && before[dir] == "" && had[dir] && !holds: // it was removed, and Berth dropped its record
		m.gone[dir], m.made[dir] = m.dirs[dir] != "", false
	case was && !is:
		m.gone[dir], m.made[dir] = m.dirs[dir] != "", false
	}
}

// restore checks that the tree is as it would be without Berth.
func (m *sequence) restore() {
	w := m.w
	before := m.look()
	_, err := w.store.Restore(w.ctx(), w.scope)
	w.must(err)
	m.after(before, true)
	tree := w.tree("/")
	for p, content := range m.contents() {
		if strings.HasPrefix(p, certs) && record.StartsWithMarker([]byte(content)) {
			m.rt.Fatalf("%s is left", p)
		}
	}
	if !m.lossy {
		m.compare(before.tree, tree)
	}
}

func (m *sequence) compare(before, tree map[string]string) {
	want := map[string]string{}
	for _, h := range propHosts {
		dir := certs + "/" + h
		if line := before[dir]; line != "" && !strings.HasPrefix(line, "d") {
			want[dir] = line
			continue
		}
		for _, n := range propNames {
			if line := m.files[dir+"/"+n]; line != "" {
				want[dir+"/"+n] = line
				want[dir] = tree[dir] // as Berth created it, or as another program changed it
			}
		}
		if m.dirs[dir] != "" {
			want[dir] = m.dirs[dir]
		}
	}
	inner := len(want) > 0
	for _, p := range []string{"/etc", "/etc/containerd", certs} {
		if m.start[p] != "" || inner {
			want[p] = tree[p]
		}
		if m.start[p] != "" {
			want[p] = m.start[p]
		}
	}
	got := map[string]string{}
	for p, line := range tree {
		if strings.HasPrefix(p, "/etc") {
			got[p] = line
		}
	}
	if d := diffTrees(got, want); d != "" {
		m.rt.Fatalf("not as it would be without us:\n%s", d)
	}
	if len(m.copies()) == 0 {
		for p := range tree {
			if strings.HasPrefix(p, "/var") && m.start[p] == "" {
				m.rt.Fatalf("left: %s", p)
			}
		}
	}
}

// isRegular checks the first letter of a described mode.
func isRegular(line string) bool { return strings.HasPrefix(line, "-") || strings.HasPrefix(line, "u") }

func values(m map[string]string) []string {
	var all []string
	for _, v := range m {
		all = append(all, v)
	}
	return all
}

// contents reads every regular file and symlink of the node outside the store.
func (m *sequence) contents() map[string]string {
	all := map[string]string{}
	for p, line := range m.w.tree("/") {
		switch {
		case strings.HasPrefix(p, record.DefaultStateDir):
		case strings.HasPrefix(line, "L"):
			_, all[p], _ = strings.Cut(line, " -> ")
		case !strings.HasPrefix(line, "d"):
			all[p] = m.w.read(p)
		}
	}
	return all
}

// copies reads the kept copies.
func (m *sequence) copies() map[string]bool {
	all := map[string]bool{}
	for p, line := range m.w.tree(record.DefaultStateDir + "/saved") {
		if isRegular(line) && !strings.HasSuffix(p, ".json") {
			all[m.w.read(p)] = true
		}
	}
	return all
}
