package containerdconf

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// defaultConfigPath is the default of config_path since containerd 2.2.
const defaultConfigPath = "/etc/containerd/certs.d:/etc/docker/certs.d"

// Assess says whether a release honours hosts.toml files with this configuration. The zero Release
// stands for an unknown one: the result is then that of the first known release that does not
// honour them, or of the newest.
func Assess(c Config, r Release) Assessment {
	if !r.IsZero() {
		return assess(c, r)
	}
	var verdict Assessment
	for _, candidate := range known() {
		if c.newestVersion() > candidate.NewestVersion() {
			continue // this release cannot run with these files
		}
		verdict = assess(c, candidate)
		if !verdict.Honoured {
			break
		}
	}
	if verdict.Release.IsZero() {
		verdict = assess(c, known()[len(known())-1])
	}
	verdict.Issues = append(verdict.Issues, Issue{
		ID: IssueUnknownRelease, Where: c.Path,
		Detail: fmt.Sprintf("the version of containerd is unknown; this result is for containerd %s", verdict.Release),
		Remedy: "run this where containerd runs, or check: containerd --version",
	})
	return verdict
}

func (c Config) newestVersion() int {
	newest := 0
	for _, f := range c.Files {
		newest = max(newest, f.Version)
	}
	return newest
}

func assess(c Config, r Release) Assessment {
	v := Assessment{Release: r}
	if !r.AtLeast(1, 6, 0) {
		v.Issues = append(v.Issues, Issue{
			ID: IssueUnsupported, Blocking: true, Where: c.Path,
			Detail: fmt.Sprintf("containerd %s is older than 1.6, the oldest supported release", r),
			Remedy: "upgrade containerd",
		})
		return v
	}
	if broken := c.invalid(r); len(broken) > 0 {
		v.Issues = broken
		return v
	}
	m := c.merge(r)
	if m.refused != nil {
		v.Issues = []Issue{*m.refused}
		return v
	}
	a := assessor{c: c, r: r, m: m, v: v}
	a.read()
	a.assessSettings()
	a.tooNew()
	slices.SortStableFunc(a.v.Issues, func(x, y Issue) int {
		switch {
		case x.Blocking == y.Blocking:
			return 0
		case x.Blocking:
			return -1
		}
		return 1
	})
	a.v.Honoured = !slices.ContainsFunc(a.v.Issues, func(t Issue) bool { return t.Blocking })
	if !a.v.Honoured {
		a.v.CertsDir = ""
	}
	return a.v
}

// invalid returns an issue for each file with which containerd does not start.
func (c Config) invalid(r Release) []Issue {
	var issues []Issue
	for _, f := range c.Files {
		if f.Err == nil && f.Doc.HasByteOrderMark() && r.AtLeast(2, 0, 0) {
			issues = append(issues, Issue{
				ID: IssueUnreadable, Blocking: true, Where: f.Path + ":1:1",
				Detail: "the file begins with a byte order mark, with which containerd 2.x does not start",
				Remedy: "save the file as UTF-8 without a byte order mark",
			})
		}
		if f.Err == nil {
			continue
		}
		t := Issue{ID: IssueUnreadable, Blocking: true, Where: f.Path, Remedy: "fix the file; containerd does not start with it"}
		switch err := f.Err; {
		case f.ImportedBy != "" && isMissing(err):
			t.ID = IssueImportMissing
			t.Detail = fmt.Sprintf("%s imports this file, which is missing", f.ImportedBy)
			t.Remedy = "remove the name from imports, or create the file; containerd does not start without it"
		default:
			t.Where, t.Detail = syntaxPlace(f)
		}
		issues = append(issues, t)
	}
	return issues
}

// assessor collects the issues of one configuration.
type assessor struct {
	c Config
	r Release
	m merged
	v Assessment

	table    string // the plugin table that takes effect
	settings map[string]any
	registry map[string]any
}

// read finds the image pull settings that take effect.
func (a *assessor) read() {
	a.table = TableV3
	if !a.r.AtLeast(2, 0, 0) {
		a.table = TableV2
		if a.m.version == 1 {
			a.table = TableV1
		}
	}
	a.settings, _ = a.m.plugins[a.table].(map[string]any)
	a.registry, _ = a.settings["registry"].(map[string]any)
}

func (a *assessor) assessSettings() {
	a.replaced()
	a.disabled()
	a.unmigrated()
	a.runtime()
	mirrors := size(a.registry["mirrors"]) > 0
	value, set := a.registry["config_path"]
	text, isString := value.(string)
	a.v.ConfigPath, a.v.Default = text, text == ""
	switch {
	case text != "" || !a.r.AtLeast(2, 2, 0):
	case a.r.AtLeast(2, 2, 2) && !mirrors, !a.r.AtLeast(2, 2, 2) && !set:
		// 2.2.0 and 2.2.1 apply it even beside mirrors, and treat an empty value as set to
		// nothing.
		a.v.ConfigPath = defaultConfigPath
	}
	a.localPull(mirrors)
	switch {
	case set && !isString:
		a.block(IssueType, a.where("registry", "config_path"), "config_path is not a string; containerd does not start with this",
			`write config_path = "/etc/containerd/certs.d"`)
	case mirrors && a.v.ConfigPath == "":
		a.block(IssueMirrors, a.where("registry", "mirrors"), "registry.mirrors is in use, and config_path is not set: hosts.toml files are not read",
			"convert the mirrors with \"berth convert --from containerd\", then remove registry.mirrors and set config_path")
	case mirrors:
		a.block(IssueMirrorsBeside, a.where("registry", "mirrors"), "registry.mirrors is set together with config_path: the CRI plugin does not load",
			"convert the mirrors with \"berth convert --from containerd\", then remove registry.mirrors")
	case a.v.ConfigPath == "":
		a.unset()
	default:
		a.paths()
	}
	if tls := a.deprecatedTLS(); tls && a.v.ConfigPath != "" {
		a.block(IssueTLS, a.where("registry", "configs"), "registry.configs with tls is set together with config_path: the CRI plugin does not load",
			"convert the certificates with \"berth convert --from containerd\", then remove registry.configs.….tls")
	}
}

// disabled reports disabled plugins without which there is no CRI.
func (a *assessor) disabled() {
	needed := []string{TableV2, TableV3, "io.containerd.cri.v1.runtime"}
	switch {
	case a.r.AtLeast(2, 1, 0):
		needed = append(needed, "io.containerd.transfer.v1.local")
	case a.r.AtLeast(2, 0, 0):
	case a.m.version == 1:
		needed = []string{TableV1}
	default:
		needed = []string{TableV2}
	}
	for _, name := range needed {
		if slices.Contains(a.m.disabled, name) {
			a.block(IssueCRIDisabled, a.c.last("disabled_plugins"), fmt.Sprintf("disabled_plugins disables %q: kubelet has no CRI", name),
				"remove it from disabled_plugins")
			return
		}
	}
}

func (a *assessor) replaced() {
	for _, x := range a.m.replaced {
		a.warn(IssueImportReplaces, x.by.place("plugins", a.table),
			fmt.Sprintf("containerd 1.x uses the table plugins.%q of this file alone and ignores the one in %s (SystemdCgroup, sandbox_image and others)", a.table, x.lost.Path),
			"put the whole table into this file")
	}
}

func (a *assessor) unmigrated() {
	for _, name := range a.m.unmigrated {
		a.warn(IssueVersion, name,
			fmt.Sprintf("containerd %s ignores the CRI plugin's settings in a file without a version line, or with an older version than another file", a.r),
			"give all files the same version line, 2 or 3, and name the tables accordingly")
	}
}

// runtime reports a missing default runtime. In 1.x one table of runtimes replaces all earlier
// ones, and the CRI plugin does not load without the default runtime. Drop-in files that tools
// write for one more runtime often cause this.
func (a *assessor) runtime() {
	if a.r.AtLeast(2, 0, 0) {
		return
	}
	inner, _ := a.settings["containerd"].(map[string]any)
	runtimes, ok := inner["runtimes"].(map[string]any)
	if old, _ := inner["default_runtime"].(map[string]any); !ok || old["runtime_type"] != nil {
		return
	}
	name, _ := inner["default_runtime_name"].(string)
	if name == "" {
		name = "runc"
	}
	if runtimes[name] == nil {
		a.block(IssueRuntime, a.where("containerd", "runtimes"), fmt.Sprintf("the default runtime %q is not among the runtimes; the CRI plugin does not load", oneLine(name)),
			"add a table for it to the runtimes in the same file")
	}
}

// tooNew reports an unknown version line. It is not fatal up to 1.6.31 and 1.7.17.
func (a *assessor) tooNew() {
	for _, f := range a.c.Files {
		if f.Version <= a.r.NewestVersion() {
			continue
		}
		t := tooNew(f, a.r)
		t.Blocking = slices.ContainsFunc(a.v.Issues, func(t Issue) bool { return t.Blocking })
		if t.Blocking {
			a.v.Issues = []Issue{*t}
		} else {
			a.v.Issues = append(a.v.Issues, *t)
		}
		return
	}
}

// unset reports that no effective setting names the hosts.toml directory. The setting may exist in
// a table that was replaced or that containerd does not read.
func (a *assessor) unset() {
	for i, t := range a.v.Issues {
		if t.ID != IssueImportReplaces {
			continue
		}
		lost := a.m.replaced[i].lost.Doc.Field("plugins", a.table, "registry", "config_path")
		if lost != nil && lost.Value.Text != "" {
			a.v.Issues[i].Blocking = true
			a.v.Issues[i].Detail += "; config_path is among the ignored settings"
			a.v.Issues[i].Remedy = `run "berth install --containerd", which sets config_path in this file`
			return
		}
	}
	for _, f := range a.c.Files {
		for _, table := range []string{TableV1, TableV2, TableV3} {
			path := []string{"plugins", table, "registry", "config_path"}
			if table == a.table || f.Doc.Field(path...) == nil || f.Doc.Field(path...).Value.Text == "" {
				continue
			}
			a.block(IssueWrongTable, f.place(path...), fmt.Sprintf("config_path is in plugins.%q, which containerd %s does not read with these version lines", table, a.r),
				fmt.Sprintf("set it in plugins.%q.registry", a.table))
			return
		}
	}
	a.block(IssueUnset, a.where("registry"), "config_path is not set: hosts.toml files are not read", `run "berth install --containerd"`)
}

// paths checks a config_path that is set, or the default.
func (a *assessor) paths() {
	list := strings.Split(a.v.ConfigPath, ":")
	list = slices.DeleteFunc(list, func(s string) bool { return s == "" })
	if len(list) == 0 {
		a.unset()
		return
	}
	a.v.CertsDir = list[0]
	where := a.where("registry", "config_path")
	if !path.IsAbs(list[0]) {
		a.block(IssueRelative, where, fmt.Sprintf("config_path %q is relative, so it depends on the directory in which containerd was started", oneLine(a.v.ConfigPath)),
			"write an absolute path")
		return
	}
	if a.v.CertsDir = path.Clean(list[0]); !strings.Contains(a.v.ConfigPath, ":") {
		return
	}
	what := fmt.Sprintf("config_path lists several directories (%s)", oneLine(a.v.ConfigPath))
	if a.v.Default {
		what = fmt.Sprintf("config_path is not set, and the default of containerd %d.%d lists two directories (%s)", a.r.Major, a.r.Minor, defaultConfigPath)
	}
	switch {
	case a.r.AtLeast(2, 1, 0) && a.v.LocalPull == "":
		a.block(IssueList, where, what+", which its transfer service silently ignores: mirrors have no effect", `run "berth install --containerd", which sets one directory`)
	case a.r.AtLeast(2, 1, 0):
		a.warn(IssueList, where, what+", which works only while "+a.v.LocalPull+" disables the transfer service for pulls", "set config_path to one directory")
	default:
		a.warn(IssueList, where, what+", which containerd 2.1 and later ignore", "set config_path to one directory before an upgrade")
	}
}

// localPull finds the setting that disables the transfer service for pulls, in the order of
// containerd's CheckLocalImagePullConfigs.
func (a *assessor) localPull(mirrors bool) {
	if !a.r.AtLeast(2, 1, 0) {
		return
	}
	s := a.settings
	downloads, counted := s["max_concurrent_downloads"].(int64)
	annotations, annotationsSet := s["disable_snapshot_annotations"].(bool)
	for _, reason := range []struct {
		key   []string
		holds bool
		old   bool
	}{
		{[]string{"use_local_image_pull"}, s["use_local_image_pull"] == true, false},
		{[]string{"disable_snapshot_annotations"}, annotationsSet && !annotations, false},
		{[]string{"discard_unpacked_layers"}, s["discard_unpacked_layers"] == true, false},
		{[]string{"registry", "mirrors"}, mirrors, true},
		{[]string{"registry", "configs"}, size(a.registry["configs"]) > 0, true},
		{[]string{"registry", "auths"}, size(a.registry["auths"]) > 0, true},
		{[]string{"max_concurrent_downloads"}, counted && downloads != 3, false},
		{[]string{"image_pull_with_sync_fs"}, s["image_pull_with_sync_fs"] == true, false},
	} {
		if !reason.holds {
			continue
		}
		a.v.LocalPull = strings.Join(reason.key, ".")
		if reason.old {
			a.warn(IssueLocalPull, a.where(reason.key...), a.v.LocalPull+" is deprecated, and makes containerd pull in the CRI plugin instead of through the transfer service",
				"convert it with \"berth convert --from containerd\", then remove it")
		}
		return
	}
}

// deprecatedTLS reports tls settings that 1.x refuses beside a config_path.
func (a *assessor) deprecatedTLS() bool {
	if a.r.AtLeast(2, 0, 0) {
		return false
	}
	configs, _ := a.registry["configs"].(map[string]any)
	for _, c := range configs {
		if c, ok := c.(map[string]any); ok && c["tls"] != nil {
			return true
		}
	}
	return false
}

// where returns the location of an effective setting: in the last file that has it, in any table.
func (a *assessor) where(keys ...string) string {
	for _, f := range slices.Backward(a.c.Files) {
		tables := []string{a.table, TableV3, TableV2, TableV1}
		for _, table := range tables {
			if p := append([]string{"plugins", table}, keys...); f.Doc.Field(p...) != nil {
				return f.place(p...)
			}
		}
	}
	if keys[0] == "discard_unpacked_layers" || keys[0] == "disable_snapshot_annotations" {
		return a.where("containerd", keys[0])
	}
	return a.c.Path
}

func (a *assessor) block(id IssueID, where, detail, remedy string) {
	a.v.Issues = append(a.v.Issues, Issue{ID: id, Blocking: true, Where: where, Detail: detail, Remedy: remedy})
}

func (a *assessor) warn(id IssueID, where, detail, remedy string) {
	a.v.Issues = append(a.v.Issues, Issue{ID: id, Where: where, Detail: detail, Remedy: remedy})
}

// size returns the number of entries of a table, 0 for any other value.
func size(v any) int {
	table, _ := v.(map[string]any)
	return len(table)
}
