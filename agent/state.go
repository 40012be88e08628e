package agent

import (
	"cmp"
	"os"
	"path"
	"slices"
	"time"

	"github.com/berth-registry/berth/agent/status"
	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/hostsconf"
	"github.com/berth-registry/berth/internal/managedfile"
	"github.com/berth-registry/berth/node/desired"
	"github.com/berth-registry/berth/node/reconcile"
)

// How many errors and saved files the state lists.
const (
	maxEvents = 20
	maxSaved  = 20
)

// state is what the loop knows of itself and of the node.
type state struct {
	snapshot status.Snapshot // without the state of refresher and prober
	mirrors  []mirrorRow
	direct   []registryRow
	// dockerFiles and dockerTree are watched because of Docker, see [reconcile.States.DockerFiles].
	dockerFiles []string
	dockerTree  string
	// kubeletFiles are watched because kubelet reads them, see [reconcile.States.ConfigJSONFiles].
	kubeletFiles []string
	retry        time.Duration // pause after the last failure
	noopRuns     int           // passes in a row that found nothing to do
	// missingTokens is true if a header of an ECR registry could not be written.
	missingTokens bool
}

// mirrorRow is one upstream after the last pass.
type mirrorRow struct {
	mirror  status.Mirror
	targets []desired.Target // one for each endpoint, then one for the upstream if it is probed
}

// pageState is what the status page is made from. It is never changed.
type pageState struct {
	snapshot status.Snapshot
	mirrors  []mirrorRow
	direct   []registryRow
}

// registryRow is one registry that images name and that has a login.
type registryRow struct {
	registry status.Endpoint
	target   desired.Target
}

func newState() state {
	host, _ := os.Hostname()
	now := time.Now()
	return state{snapshot: status.Snapshot{Node: host, Started: now, Phase: status.Starting, PhaseSince: now}}
}

func (s *state) enter(p status.Phase) {
	if s.snapshot.Phase != p {
		s.snapshot.Phase, s.snapshot.PhaseSince = p, time.Now()
	}
}

// recordConfig records the result of reading the config.
func (s *state) recordConfig(r configReading, path string) {
	c := &s.snapshot.Config
	now := time.Now()
	if ok := r.err == nil; ok != c.OK || c.Since.IsZero() {
		c.OK, c.Since = ok, now
	}
	if r.changed {
		s.noopRuns = 0
	}
	c.Path, c.Hash, c.Error, c.Warnings, c.Stale = path, r.hash, "", nil, r.cfg != nil && r.err != nil
	if r.err != nil {
		c.Error = r.err.Error()
		return
	}
	if r.renewed {
		c.Loaded = now
	}
	for _, w := range r.warnings {
		c.Warnings = append(c.Warnings, w.String())
	}
	c.Upstreams = len(r.cfg.AllMirrors())
}

// recordResult records what a pass did.
func (s *state) recordResult(cfg *config.Config, states reconcile.States, in reconcile.Inputs, r reconcile.Result) {
	d := states.Containerd
	s.snapshot.Config.Upstreams = len(cfg.AllMirrors())
	s.missingTokens = len(in.Headers) < len(d.ECRRegistries) || len(in.HelperLogins) < len(cfg.Helpers())
	s.snapshot.Notices = nil
	for _, n := range states.Notices(cfg) {
		s.snapshot.Notices = append(s.snapshot.Notices, n.String())
	}
	s.mirrors, s.direct = mirrorRows(cfg, d), registryRows(d)
	s.recordDocker(cfg, states)
	if r.Plan.Trees == nil {
		return // the pass ended before there was a plan
	}
	s.recordConfigJSON(cfg, r.Plan.ConfigJSON)
	s.recordFiles(r)
}

// recordDocker records what is known of Docker Engine.
func (s *state) recordDocker(cfg *config.Config, states reconcile.States) {
	engine, found, written := states.DockerEngine()
	s.snapshot.Docker = nil
	if !found && !written {
		return
	}
	reads, why := engine.Reads()
	s.snapshot.Docker = &status.Docker{
		Version: engine.Version, CertsDir: cfg.Docker.CertsDir, Reads: status.Reads(reads), Why: why, Written: written,
	}
}

// recordConfigJSON records which logins are in kubelet's own config.json.
func (s *state) recordConfigJSON(cfg *config.Config, p reconcile.ConfigJSONPlan) {
	s.snapshot.ConfigJSON = nil
	if !cfg.Kubelet.ConfigJSON {
		return
	}
	s.snapshot.ConfigJSON = &status.ConfigJSON{Path: p.Path, Hosts: p.Hosts, Why: cmp.Or(p.Why, p.Unseen)}
	for _, n := range p.Notices {
		s.snapshot.Notices = append(s.snapshot.Notices, n.String())
	}
}

// recordFiles records the files that a pass wrote, and those that it left alone.
func (s *state) recordFiles(r reconcile.Result) {
	f := &s.snapshot.Files
	now := time.Now()
	f.Managed = 1 // the credential provider's rules
	for _, c := range r.Plan.Changes() {
		if c.After != nil {
			f.Managed++
		}
	}
	for _, c := range r.Report.Changed {
		switch c.Action {
		case managedfile.Create, managedfile.Update, managedfile.Adopt:
			f.Written++
		case managedfile.Repair:
			f.Written++
			f.Repaired++
		case managedfile.Remove:
			f.Removed++
		}
	}
	f.Conflicts = fileNotes(f.Conflicts, r.Report.Conflicts, now)
	f.Skipped = fileNotes(f.Skipped, r.Report.Skipped, now)
	for _, c := range r.Report.Conflicts {
		if c.After != nil { // it is counted above
			f.Managed--
		}
	}
	for _, saved := range r.Report.Saved {
		f.Saved = append(f.Saved, status.FileNote{Path: saved.Path, Reason: string(saved.Why) + ", kept as " + saved.Copy, Since: now})
	}
	f.Saved = lastN(f.Saved, maxSaved)
	s.noopRuns++
	if len(r.Report.Changed) > 0 || r.Rules {
		s.noopRuns = 0
	}
}

// fileNotes lists changes with the time since when each path has been listed.
func fileNotes(before []status.FileNote, changes []managedfile.Change, now time.Time) []status.FileNote {
	var all []status.FileNote
	for _, c := range changes {
		n := status.FileNote{Path: c.Path, Reason: c.Reason, Since: now}
		if i := slices.IndexFunc(before, func(b status.FileNote) bool { return b.Path == c.Path }); i >= 0 {
			n.Since = before[i].Since
		}
		all = append(all, n)
	}
	return all
}

// recordPass records how a pass ended. worked is false if there was no config.
func (s *state) recordPass(begin time.Time, worked bool, err error, pause time.Duration) {
	c := &s.snapshot.Converge
	now := time.Now()
	c.NextResync = now.Add(pause)
	if !worked {
		return
	}
	c.Runs++
	c.Last, c.Duration = begin, status.Seconds(now.Sub(begin))
	if err != nil {
		c.Failures++
		c.Error = err.Error()
		if c.FailingSince.IsZero() {
			c.FailingSince = begin
		}
		s.recordError(err.Error(), now)
		return
	}
	c.LastSuccess, c.Error, c.FailingSince = now, "", time.Time{}
	s.enter(status.Converged)
}

// recordError adds an error to the list of recent errors; an error that is listed is counted.
func (s *state) recordError(message string, now time.Time) {
	all := &s.snapshot.Errors
	if i := slices.IndexFunc(*all, func(e status.Event) bool { return e.Message == message }); i >= 0 {
		e := (*all)[i]
		e.Time, e.Count = now, e.Count+1
		*all = append(slices.Delete(slices.Clone(*all), i, i+1), e)
		return
	}
	*all = lastN(append(slices.Clone(*all), status.Event{Time: now, Message: message, Count: 1}), maxEvents)
}

// lastN returns the last n elements.
func lastN[T any](all []T, n int) []T {
	if len(all) > n {
		return slices.Clone(all[len(all)-n:])
	}
	return all
}

// mirrorRows lists the mirrors of the config with their endpoints.
func mirrorRows(cfg *config.Config, d *desired.State) []mirrorRow {
	inHosts := map[string]map[hostsconf.URL]bool{}
	for _, dir := range d.Directories {
		urls := map[hostsconf.URL]bool{}
		for _, h := range dir.Hosts {
			urls[h.URL] = true
		}
		if dir.Server != nil {
			urls[dir.Server.URL] = true
		}
		inHosts[dir.Upstream] = urls
	}
	byUpstream := map[string][]desired.Target{}
	for _, t := range d.Targets {
		byUpstream[t.Upstream] = append(byUpstream[t.Upstream], t)
	}
	var rows []mirrorRow
	for _, m := range cfg.AllMirrors() {
		row := mirrorRow{mirror: status.Mirror{
			Upstream: m.Upstream, Directory: path.Join(cfg.Containerd.CertsDir, hostsconf.DirName(m.Upstream)),
		}}
		if m.UpstreamFallback {
			row.mirror.Fallback = m.Upstream
			if m.Upstream == hostsconf.Default {
				row.mirror.Fallback = "each registry itself"
			}
		}
		for _, t := range byUpstream[m.Upstream] { // the upstream is last
			if t.Server {
				row.targets = append(row.targets, t)
				continue
			}
			row.targets = append(row.targets, t)
			row.mirror.Endpoints = append(row.mirror.Endpoints, status.Endpoint{
				URL: t.Host.URL.String(), State: status.Unknown, Withdrawn: !inHosts[m.Upstream][t.Host.URL], Login: d.LoginName(t),
			})
		}
		rows = append(rows, row)
	}
	return rows
}

// registryRows lists the registries that images name and whose login is probed, those behind
// mirrors included.
func registryRows(d *desired.State) []registryRow {
	var rows []registryRow
	for _, t := range d.Targets {
		if (t.Upstream == "" || t.Server) && !t.ProbeHeader.IsZero() {
			rows = append(rows, registryRow{
				registry: status.Endpoint{URL: t.Host.URL.String(), State: status.Unknown, Login: d.LoginName(t)}, target: t,
			})
		}
	}
	return rows
}
