package managedfile

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/berth-registry/berth/internal/managedfile/record"
	"github.com/berth-registry/berth/internal/nodefs"
)

func TestRepairLimit(t *testing.T) {
	w := newWorld(t)
	w.apply(hosts("docker.io", "a\n"))
	for range maxRepairs {
		w.now = w.now.Add(10 * time.Second)
		w.remove(docker)
		w.expect(actions(w.apply(hosts("docker.io", "a\n")).Changed), "repair docker.io/hosts.toml")
	}
	w.now = w.now.Add(10 * time.Second)
	w.remove(docker)
	r := w.apply(hosts("docker.io", "a\n"))
	w.expect(actions(r.Conflicts), "conflict docker.io/hosts.toml")
	if len(r.Changed) != 0 || !strings.Contains(r.Conflicts[0].Reason, "another program manages it") {
		t.Errorf("%v", r.Conflicts)
	}
	// The edits continue: the quiet period starts over.
	w.now = w.now.Add(4 * time.Minute)
	w.write(docker, "theirs", 0o644)
	w.must(os.Chtimes(w.path(docker), w.now, w.now))
	w.now = w.now.Add(4 * time.Minute)
	w.expect(actions(w.apply(hosts("docker.io", "a\n")).Conflicts), "conflict docker.io/hosts.toml")
	w.now = w.now.Add(time.Minute)
	w.expect(actions(w.apply(hosts("docker.io", "a\n")).Changed), "repair docker.io/hosts.toml")
}

func TestGracePeriod(t *testing.T) {
	w := newWorld(t)
	ca := File{Path: certs + "/_berth/ca.pem", Body: []byte("pem"), Mode: 0o644, GracePeriod: 10 * time.Minute, Comment: "#"}
	h := hosts("docker.io", "a\n")
	h.Needs = []string{ca.Path}
	w.apply(ca, h)
	w.expect(actions(w.apply().Changed), "remove docker.io/hosts.toml")
	w.now = w.now.Add(9 * time.Minute)
	w.expect(actions(w.plan()), "linger _berth/ca.pem")
	w.apply()
	w.now = w.now.Add(time.Minute)
	w.expect(actions(w.apply().Changed), "remove _berth/ca.pem")

	// Wanted again in between: the grace period starts over.
	w.apply(ca)
	w.apply()
	w.now = w.now.Add(9 * time.Minute)
	w.apply(ca)
	w.apply()
	w.now = w.now.Add(9 * time.Minute)
	w.expect(actions(w.plan()), "linger _berth/ca.pem")

	// Without the record the scope gives the grace period, which starts over.
	w.remove(record.DefaultStateDir + "/state.json")
	w.scope.GracePeriod = func(p string) time.Duration {
		if strings.HasSuffix(p, ".pem") {
			return time.Minute
		}
		return 0
	}
	w.expect(actions(w.plan()), "linger _berth/ca.pem")
	w.apply()
	w.now = w.now.Add(time.Minute)
	w.expect(actions(w.plan()), "remove _berth/ca.pem")

	// Restore ignores the grace period.
	w.apply(ca)
	w.apply()
	w.restore()
	if w.exists(ca.Path) {
		t.Error("it lingers after restore")
	}
}

func TestNeeds(t *testing.T) {
	w := newWorld(t)
	ca := File{Path: certs + "/_berth/ca.pem", Body: []byte("pem"), Mode: 0o644, Comment: "#"}
	h := hosts("docker.io", "a\n")
	h.Needs = []string{ca.Path}
	w.write(ca.Path, "theirs", 0o644)
	r := w.apply(h, ca) // the order does not matter
	w.expect(actions(r.Conflicts), "conflict _berth/ca.pem")
	w.expect(actions(r.Skipped), "create docker.io/hosts.toml")
	w.remove(ca.Path)
	w.expect(actions(w.apply(h, ca).Changed), "create _berth/ca.pem, create docker.io/hosts.toml")
	w.expect(actions(w.apply().Changed), "remove docker.io/hosts.toml, remove _berth/ca.pem")
}

func TestNeededFileStays(t *testing.T) {
	w := newWorld(t)
	ca := File{Path: certs + "/_berth/ca.pem", Body: []byte("pem"), Mode: 0o644, Comment: "#"}
	h := hosts("docker.io", "a\n")
	h.Needs = []string{ca.Path}
	w.apply(ca, h)
	changes := w.plan()
	w.expect(actions(changes), "remove docker.io/hosts.toml, remove _berth/ca.pem")
	w.append(docker, "edited after the plan")
	r, err := w.store.Apply(w.ctx(), w.scope, changes)
	w.must(err)
	w.expect(actions(r.Skipped), "remove docker.io/hosts.toml, remove _berth/ca.pem")
	if !w.exists(ca.Path) {
		t.Error("containerd would fail every pull of docker.io")
	}
}

func TestChangedSinceThePlan(t *testing.T) {
	w := newWorld(t)
	w.write(certs+"/ghcr.io/hosts.toml", "foreign\n", 0o644)
	w.scope.Adopt = true
	w.apply(hosts("docker.io", "a\n"), hosts("gcr.io", "a\n"))
	changes := w.plan(hosts("docker.io", "b\n"), hosts("quay.io", "b\n"), hosts("ghcr.io", "b\n"))
	w.append(docker, "edit")
	w.write(quay, "theirs", 0o644)
	w.append(certs+"/ghcr.io/hosts.toml", "more")
	w.append(certs+"/gcr.io/hosts.toml", "edit")
	before := w.tree("/etc")
	r, err := w.store.Apply(w.ctx(), w.scope, changes)
	w.must(err)
	if len(r.Skipped) != 4 || len(r.Changed) != 0 {
		t.Errorf("skipped %s, changed %s", actions(r.Skipped), actions(r.Changed))
	}
	if d := diffTrees(w.tree("/etc"), before); d != "" {
		t.Error(d)
	}
}

func TestPlan(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	want := hosts("docker.io", "a\n")
	ours := Observed{Path: docker, Kind: nodefs.Regular, Owner: Ours, Mode: 0o644, Content: want.Content()}
	with := func(change func(*Observed)) Observed {
		o := ours
		change(&o)
		return o
	}
	unreadable := with(func(o *Observed) { o.Owner, o.Content, o.Problem = Edited, nil, "cannot be read: permission denied" })
	for name, c := range map[string]struct {
		found          Observed
		wanted, unwant Action
	}{
		"nothing":             {Observed{Path: docker}, Create, ""},
		"never written":       {Observed{Path: docker, Pending: true}, Create, Forget},
		"ours":                {ours, Unchanged, Remove},
		"another mode":        {with(func(o *Observed) { o.Mode = 0o600 }), Update, Remove},
		"another content":     {with(func(o *Observed) { o.Content = []byte("b") }), Update, Remove},
		"edited":              {with(func(o *Observed) { o.Owner = Edited }), Repair, Remove},
		"removed":             {Observed{Path: docker, Owner: Edited}, Repair, Forget},
		"removed, original":   {Observed{Path: docker, Owner: Edited, Original: nodefs.Regular}, Repair, Remove},
		"theirs in our place": {with(func(o *Observed) { o.Owner, o.Theirs = Edited, true }), Repair, Forget},
		"foreign":             {with(func(o *Observed) { o.Owner, o.Content = Foreign, []byte("x") }), Conflict, ""},
		"foreign, the same":   {with(func(o *Observed) { o.Owner = Foreign }), Unchanged, ""},
		"never replaced":      {with(func(o *Observed) { o.Owner, o.Pending, o.Content = Foreign, true, nil }), Conflict, Forget},
		"unreadable":          {unreadable, Conflict, Conflict},
		"lingering":           {with(func(o *Observed) { o.GracePeriod = time.Minute }), Unchanged, GracePeriod},
		"lingered":            {with(func(o *Observed) { o.GracePeriod, o.Unwanted = time.Minute, now.Add(-time.Minute) }), Unchanged, Remove},
	} {
		snap := Snapshot{Scope: Scope{Name: "certs.d", Dir: certs}, Time: now, Files: []Observed{c.found}}
		if got := Plan([]File{want}, snap)[0].Action; got != c.wanted {
			t.Errorf("%s, wanted: %s, want %s", name, got, c.wanted)
		}
		var got Action
		if changes := Plan(nil, snap); len(changes) > 0 {
			got = changes[0].Action
		}
		if got != c.unwant {
			t.Errorf("%s, not wanted: %s, want %s", name, got, c.unwant)
		}
	}
}

func TestInterrupted(t *testing.T) {
	w := newWorld(t)
	w.apply(hosts("docker.io", "a\n"), hosts("gone.io", "a\n"))
	before := withoutTimes(w.tree("/etc"))
	changes := w.plan(hosts("docker.io", "b\n"), hosts("quay.io", "b\n"))
	ctx, cancel := context.WithCancel(w.ctx())
	cancel()
	r, err := w.store.Apply(ctx, w.scope, changes)
	if !errors.Is(err, context.Canceled) || len(r.Skipped) != 3 || len(r.Changed) != 0 {
		t.Errorf("%v, skipped %s, changed %s", err, actions(r.Skipped), actions(r.Changed))
	}
	if d := diffTrees(withoutTimes(w.tree("/etc")), before); d != "" {
		t.Error(d)
	}
	w.expect(actions(w.apply(hosts("docker.io", "b\n"), hosts("quay.io", "b\n")).Changed),
		"update docker.io/hosts.toml, create quay.io/hosts.toml, remove gone.io/hosts.toml")
}
