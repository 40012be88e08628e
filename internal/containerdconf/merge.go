package containerdconf

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// merged is the configuration that containerd derives from all files.
type merged struct {
	version  int
	plugins  map[string]any
	disabled []string
	// refused is the reason why containerd does not start with these files, nil if it starts.
	refused *Issue
	// replaced lists the files whose image pull settings a later file replaced completely
	// (1.x), each with that later file.
	replaced []replacement
	// unmigrated lists files whose settings the release does not read because of the version
	// lines of this and other files.
	unmigrated []string
}

type replacement struct{ lost, by File }

// merge combines the files as the release does. All files must be readable.
func (c Config) merge(r Release) merged {
	switch {
	case !r.AtLeast(2, 0, 0):
		return c.mergeReplacing(r)
	case !r.AtLeast(2, 3, 0):
		return c.mergeMixed(r)
	}
	return c.mergeMigrated(r)
}

// mergeReplacing is the rule of 1.x: a plugin's table in a later file replaces the whole earlier
// table, and the last version line applies to all files.
func (c Config) mergeReplacing(r Release) merged {
	m := merged{version: 1, plugins: map[string]any{}}
	last := map[string]File{}
	for _, f := range c.Files {
		if f.Version != 0 {
			m.version = f.Version
		}
		for name, table := range f.plugins() {
			if before, again := last[name]; again && (name == TableV1 || name == TableV2) {
				m.replaced = append(m.replaced, replacement{before, f})
			}
			m.plugins[name], last[name] = table, f
		}
		m.disabled = append(m.disabled, f.disabled()...)
	}
	// Later releases of 1.6 and 1.7 look at the version of all files together.
	strict := r.AtLeast(1, 7, 18) || r.Minor == 6 && r.AtLeast(1, 6, 32)
	if strict && m.version > r.NewestVersion() {
		first := slices.IndexFunc(c.Files, func(f File) bool { return f.Version > r.NewestVersion() })
		m.refused = tooNew(c.Files[first], r)
	} else if m.version > 1 {
		m.refused = c.badName(last, m.disabled)
	}
	return m
}

// badName reports a plugin name that is not complete. With version 2, containerd 1.x does not start
// with one.
func (c Config) badName(tables map[string]File, disabled []string) *Issue {
	for _, name := range slices.Sorted(maps.Keys(tables)) {
		if f := tables[name]; len(strings.Split(name, ".")) < 4 {
			return &Issue{
				ID: IssueVersion, Blocking: true, Where: f.place("plugins", name),
				Detail: fmt.Sprintf("the table plugins.%s has the name of version 1, and the files together are of version 2; containerd does not start with this", oneLine(name)),
				Remedy: "give all files the same version line, and name the table as that version does",
			}
		}
	}
	for _, name := range disabled {
		if len(strings.Split(name, ".")) < 4 {
			return &Issue{
				ID: IssueVersion, Blocking: true, Where: c.last("disabled_plugins"),
				Detail: fmt.Sprintf("disabled_plugins names %q, but with version 2 containerd accepts only full names such as %q; it does not start with this", oneLine(name), TableV2),
				Remedy: "write the plugin's full name, or remove it",
			}
		}
	}
	return nil
}

// mergeMixed is the rule of 2.0 to 2.2: tables are merged key by key without migration; the result
// is migrated at the end, from the version that was read last.
func (c Config) mergeMixed(r Release) merged {
	const newest = 3
	m := merged{version: newest, plugins: map[string]any{}}
	for _, f := range c.Files {
		plugins := f.plugins()
		disabled := f.disabled()
		version := f.Version
		if version <= 1 {
			// Only the names of these tables are migrated, to the version read so far;
			// settings that moved to other tables are not.
			plugins, disabled = renamed(plugins), renamedList(disabled)
			version = m.version
		}
		deepMerge(m.plugins, plugins)
		m.disabled = append(m.disabled, disabled...)
		m.version = version
	}
	switch {
	case m.version > newest:
		at := slices.IndexFunc(c.Files, func(f File) bool { return f.Version == m.version })
		m.refused = tooNew(c.Files[at], r)
	case m.version < newest:
		migrate(m.plugins)
	default:
		for _, f := range c.Files {
			if f.Version < newest && (f.plugins()[TableV2] != nil || f.plugins()[TableV1] != nil) {
				m.unmigrated = append(m.unmigrated, f.Path)
			}
		}
	}
	return m
}

// mergeMigrated is the rule of 2.3 and later: each file is migrated to the newest form by itself,
// then tables are merged key by key.
func (c Config) mergeMigrated(r Release) merged {
	m := merged{version: 4, plugins: map[string]any{}}
	// 2.3.0 to 2.3.4 do not start if an import is newer than the main file.
	strict := !r.AtLeast(2, 3, 5)
	root := 0
	for _, f := range c.Files {
		if f.Version > m.version && m.refused == nil {
			m.refused = tooNew(f, r)
		}
		if root == 0 {
			root = f.Version
		}
		if strict && f.Version > root && m.refused == nil {
			m.refused = &Issue{
				ID: IssueImportVersion, Blocking: true, Where: f.place("version"),
				Detail: fmt.Sprintf("an imported file of version %d under a main file of version %d; containerd %s does not start with this", f.Version, root, r),
				Remedy: fmt.Sprintf("migrate %s to version %d, and rename its tables accordingly", f.Path, root),
			}
		}
		plugins, disabled := f.plugins(), f.disabled()
		if f.Version <= 1 {
			plugins, disabled = renamed(plugins), renamedList(disabled)
		}
		plugins = clone(plugins)
		if f.Version < m.version {
			migrate(plugins)
		}
		deepMerge(m.plugins, plugins)
		m.disabled = append(m.disabled, disabled...)
	}
	return m
}

func tooNew(f File, r Release) *Issue {
	return &Issue{
		ID: IssueVersion, Blocking: true, Where: f.place("version"),
		Detail: fmt.Sprintf("version %d is newer than containerd %s reads", f.Version, r),
		Remedy: fmt.Sprintf("write a config.toml of version %d for this containerd, or upgrade it", r.NewestVersion()),
	}
}

// renamed gives the tables of a version 1 file the names of version 2 (v1Migrate). Only one table
// matters here.
func renamed(plugins map[string]any) map[string]any {
	out := maps.Clone(plugins)
	if table, ok := out[TableV1]; ok {
		delete(out, TableV1)
		out[TableV2] = table
	}
	return out
}

func renamedList(names []string) []string {
	out := slices.Clone(names)
	for i, name := range out {
		if name == TableV1 {
			out[i] = TableV2
		}
	}
	return out
}

// migrate moves the image pull settings to the table of version 3, as the plugin does
// (configMigration and migrateConfig in plugins/cri/images): each key as a whole, replacing an
// existing one.
func migrate(plugins map[string]any) {
	from, ok := plugins[TableV2].(map[string]any)
	if !ok {
		return
	}
	to, _ := plugins[TableV3].(map[string]any)
	to = maps.Clone(to)
	if to == nil {
		to = map[string]any{}
	}
	move := func(from map[string]any, keys ...string) {
		for _, key := range keys {
			if value, ok := from[key]; ok {
				to[key] = value
			}
		}
	}
	move(from, "registry", "max_concurrent_downloads", "image_pull_with_sync_fs")
	inner, _ := from["containerd"].(map[string]any)
	if _, ok := inner["runtimes"]; ok { // without runtimes, containerd drops the other keys
		move(inner, "disable_snapshot_annotations", "discard_unpacked_layers")
	}
	plugins[TableV3] = to
}

// deepMerge merges src into dst, table by table; other values of src replace those of dst.
func deepMerge(dst, src map[string]any) {
	for name, value := range src {
		inner, isTable := value.(map[string]any)
		under, wasTable := dst[name].(map[string]any)
		switch {
		case isTable && wasTable:
			deepMerge(under, inner)
		case isTable:
			dst[name] = clone(inner)
		default:
			dst[name] = value
		}
	}
}

func clone(table map[string]any) map[string]any {
	out := map[string]any{}
	deepMerge(out, table)
	return out
}

// plugins returns the plugin tables of a file.
func (f File) plugins() map[string]any {
	tables := map[string]any{}
	if f.Doc == nil {
		return tables
	}
	all, _ := f.Doc.Values()["plugins"].(map[string]any)
	for name, table := range all {
		if table, ok := table.(map[string]any); ok {
			tables[name] = table
		}
	}
	return tables
}

// disabled returns the plugins that a file disables.
func (f File) disabled() []string {
	if f.Doc == nil {
		return nil
	}
	var names []string
	list, _ := f.Doc.Values()["disabled_plugins"].([]any)
	for _, item := range list {
		if name, ok := item.(string); ok {
			names = append(names, name)
		}
	}
	return names
}

// place returns file:line:column of a key, or the file alone.
func (f File) place(path ...string) string {
	if f.Doc == nil {
		return f.Path
	}
	field := f.Doc.Field(path...)
	if field == nil {
		return f.Path
	}
	line, column := f.Doc.Position(field.Offset)
	return fmt.Sprintf("%s:%d:%d", f.Path, line, column)
}

// last returns the location of a key in the last file that has it.
func (c Config) last(path ...string) string {
	for _, f := range slices.Backward(c.Files) {
		if f.Doc != nil && f.Doc.Field(path...) != nil {
			return f.place(path...)
		}
	}
	return c.Path
}

// oneLine makes a name from the file safe for a one-line message.
func oneLine(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < 0x20 || r == 0x7f {
			return '?'
		}
		return r
	}, s)
	if len(s) > 200 {
		s = strings.ToValidUTF8(s[:200], "") + "…"
	}
	return s
}
