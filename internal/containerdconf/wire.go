package containerdconf

import (
	"bytes"
	"errors"
	"fmt"
	"path"
	"reflect"
	"slices"
	"strings"

	"github.com/berth-registry/berth/internal/tomldoc"
)

// DefaultCertsDir is the directory that is set where nothing names one.
const DefaultCertsDir = "/etc/containerd/certs.d"

// Options say what [Wire] may do.
type Options struct {
	// Dir is the directory that hosts.toml files are to be read from. Empty
	// keeps the one that is set, and takes Default where there is none.
	Dir string
	// Default is used where nothing names a directory; [DefaultCertsDir] if it
	// is empty.
	Default string
	// DropMirrors removes the deprecated settings beside which containerd
	// refuses a config_path: registry.mirrors, and registry.configs.….tls in
	// 1.x. Without it they are a reason to refuse.
	DropMirrors bool
}

// Wiring is what makes containerd honour hosts.toml files.
type Wiring struct {
	// CertsDir is the directory that they will be read from.
	CertsDir string
	// Files are to be written, all of them, before containerd is restarted.
	// There are none when everything is as it should be.
	Files []FileChange
	// After is the configuration with them, and Verdict what the release makes
	// of it.
	After   Config
	Verdict Assessment
}

// FileChange is one file that changes.
type FileChange struct {
	Path string
	// Before is what it held; nil when there is no such file.
	Before []byte
	After  []byte
	// DropIn says that it is a file of our own, next to others that containerd
	// imports.
	DropIn bool
}

// RefusedError says why a configuration is not touched.
type RefusedError struct{ Trap Issue }

// Error gives the place, what is wrong and what to do.
func (e *RefusedError) Error() string {
	return fmt.Sprintf("%s: %s; %s", e.Trap.Where, e.Trap.Detail, e.Trap.Remedy)
}

// ErrUnsupported is returned when no change of a single key does it.
var ErrUnsupported = errors.New("set config_path by hand: no change of one key makes containerd honour it")

// ErrDir is returned for a directory that cannot stand in config_path.
var ErrDir = errors.New("must be an absolute path without a colon")

// Wire finds the smallest change after which the release honours hosts.toml
// files. When it does so already, and Options.Dir asks for nothing else, that is
// no change. It writes nothing. The zero Release is taken for one that is not
// known: then the change has to do for every release that reads these files.
//
// The errors are [*RefusedError], for a configuration that somebody has to look
// at first, and [ErrUnsupported].
func Wire(c Config, r Release, o Options) (Wiring, error) {
	before := Assess(c, r)
	if before.Honoured && (o.Dir == "" || path.Clean(o.Dir) == before.CertsDir) {
		return Wiring{CertsDir: before.CertsDir, After: c, Verdict: before}, nil
	}
	if o.Dir != "" && (!path.IsAbs(o.Dir) || strings.Contains(o.Dir, ":")) {
		return Wiring{}, fmt.Errorf("%q: %w", o.Dir, ErrDir)
	}
	w := wirer{original: c, r: r, dir: o.Dir}
	start := c
	if o.DropMirrors {
		var err error
		if start, err = w.withoutMirrors(c); err != nil {
			return Wiring{}, err
		}
	}
	verdict := Assess(start, r)
	for _, t := range verdict.Issues {
		if t.Blocking && !fixable(t.ID) {
			return Wiring{}, &RefusedError{t}
		}
	}
	w.start = start
	w.chooseDir(verdict, o)
	if done := w.result(start); done != nil {
		return *done, nil
	}
	for _, try := range []func() *Wiring{w.newFile, w.dropIn, w.inPlace} {
		if done := try(); done != nil {
			return *done, nil
		}
	}
	return Wiring{}, unsupported(c, r)
}

// fixable reports whether setting config_path is what helps.
func fixable(id IssueID) bool {
	switch id {
	case TrapUnset, TrapList, TrapType, TrapWrongTable, TrapImportReplaces:
		return true
	}
	return false
}

type wirer struct {
	original, start Config
	r               Release
	dir             string
}

// chooseDir keeps the directory that is named, the first one of several.
func (w *wirer) chooseDir(v Assessment, o Options) {
	first, _, _ := strings.Cut(v.ConfigPath, ":")
	switch {
	case w.dir != "":
	case path.IsAbs(first) && !v.Default:
		w.dir = first
	case o.Default != "":
		w.dir = o.Default
	default:
		w.dir = DefaultCertsDir
	}
	w.dir = path.Clean(w.dir)
}

// newFile writes the first config.toml of this node.
func (w *wirer) newFile() *Wiring {
	if !w.start.Missing {
		return nil
	}
	version := w.r.NewestVersion()
	if w.r.IsZero() {
		version = 2 // which all of them read
	}
	return w.result(w.start.with(w.start.Path, fragment(version, Tables(version)[0], w.dir), w.r))
}

// dropIn adds a file to a directory that is imported, where that merges.
func (w *wirer) dropIn() *Wiring {
	if !w.r.AtLeast(2, 0, 0) || w.start.Missing {
		return nil
	}
	version := w.start.Files[0].Version
	for _, f := range w.start.Files {
		for _, pattern := range f.imports {
			dir := path.Dir(pattern)
			if !strings.Contains(pattern, "*") || strings.ContainsAny(dir, `*?[\`) {
				continue
			}
			// The later name is for a directory in which somebody else is last.
			for _, name := range []string{"99-berth.toml", "zz-berth.toml"} {
				file := path.Join(dir, name)
				if ok, _ := path.Match(pattern, file); !ok {
					continue
				}
				for _, table := range Tables(version) {
					if done := w.result(w.start.with(file, fragment(version, table, w.dir), w.r)); done != nil {
						return done
					}
				}
			}
		}
	}
	return nil
}

// fragment is a config.toml that sets the one key. Version 0 writes no version
// line, for a main file that has none.
func fragment(version int, table, dir string) []byte {
	doc, err := tomldoc.Parse(nil)
	if err == nil && version > 0 {
		doc, err = set(doc, int64(version), "version")
	}
	if err == nil {
		doc, err = set(doc, dir, "plugins", table, "registry", "config_path")
	}
	if err != nil {
		return nil // an empty document takes every key
	}
	return doc.Bytes()
}

func set(doc *tomldoc.Document, value any, path ...string) (*tomldoc.Document, error) {
	data, err := doc.Set(value, path...)
	if err != nil {
		return nil, err
	}
	return tomldoc.Parse(data)
}

// inPlace changes the file that counts: the last one that has the key, else the
// last one that has the plugin's table, else the main file.
func (w *wirer) inPlace() *Wiring {
	if w.start.Missing {
		return nil
	}
	if done := w.versioned(); done != nil {
		return done
	}
	// A key may be set where it does not count; the change is right only if the
	// release, asked again, says so.
	for _, inner := range [][]string{{"registry", "config_path"}, nil} {
		for _, f := range slices.Backward(w.start.Files) {
			for _, table := range Tables(f.Version) {
				if f.Doc.Field(append([]string{"plugins", table}, inner...)...) == nil {
					continue
				}
				if done := w.setIn(f, table); done != nil {
					return done
				}
			}
		}
	}
	for _, table := range Tables(w.start.Files[0].Version) {
		if done := w.setIn(w.start.Files[0], table); done != nil {
			return done
		}
	}
	return nil
}

// versioned gives a version line to a main file in which nothing depends on it.
// Without one 1.x takes it for version 1, whose settings 2.0 to 2.2 forget.
func (w *wirer) versioned() *Wiring {
	f := w.start.Files[0]
	for _, key := range []string{"version", "plugins", "disabled_plugins", "required_plugins", "imports"} {
		if f.Doc.Field(key) != nil {
			return nil
		}
	}
	version := 2
	if w.r.AtLeast(2, 0, 0) {
		version = 3 // from 4 on, tables such as [grpc] mean nothing
	}
	doc, err := set(f.Doc, int64(version), "version")
	if err != nil {
		return nil
	}
	f.Doc = doc
	return w.setIn(f, Tables(version)[0])
}

func (w *wirer) setIn(f File, table string) *Wiring {
	data, err := f.Doc.Set(w.dir, "plugins", table, "registry", "config_path")
	if err != nil {
		return nil
	}
	return w.result(w.start.with(f.Path, data, w.r))
}

// result gives a changed configuration if it is what was wanted: honoured, with
// this directory, and nothing else in the plugins differs.
func (w *wirer) result(after Config) *Wiring {
	v := Assess(after, w.r)
	if !v.Honoured || v.CertsDir != w.dir || strings.Contains(v.ConfigPath, ":") {
		return nil
	}
	for _, r := range w.releases() {
		if !w.start.Missing && !reflect.DeepEqual(others(w.start, r), others(after, r)) {
			return nil
		}
	}
	done := &Wiring{CertsDir: v.CertsDir, After: after, Verdict: v}
	for _, f := range after.Files {
		change := FileChange{Path: f.Path, After: f.Doc.Bytes()}
		change.DropIn = f.ImportedBy != ""
		for _, g := range w.original.Files {
			if g.Path == f.Path {
				change.Before, change.DropIn = g.Doc.Bytes(), false
			}
		}
		if change.Before == nil || !bytes.Equal(change.Before, change.After) {
			done.Files = append(done.Files, change)
		}
	}
	return done
}

// releases are those for which a change has to be right.
func (w *wirer) releases() []Release {
	if !w.r.IsZero() {
		return []Release{w.r}
	}
	return slices.DeleteFunc(known(), func(r Release) bool { return w.original.newestVersion() > r.NewestVersion() })
}

// others is what a release makes of the plugin tables, without config_path.
func others(c Config, r Release) map[string]any {
	if r.IsZero() || c.Missing {
		return nil
	}
	plugins := clone(c.merge(r).plugins)
	for _, table := range []string{TableV1, TableV2, TableV3} {
		settings, _ := plugins[table].(map[string]any)
		registry, _ := settings["registry"].(map[string]any)
		delete(registry, "config_path")
		if len(registry) == 0 {
			delete(settings, "registry")
		}
		if len(settings) == 0 {
			delete(plugins, table)
		}
	}
	return plugins
}

// withoutMirrors removes what stands in the way of a config_path.
func (w *wirer) withoutMirrors(c Config) (Config, error) {
	for _, f := range c.Files {
		if f.Doc == nil {
			continue
		}
		doc := f.Doc
		for _, table := range []string{TableV1, TableV2, TableV3} {
			gone := [][]string{{"plugins", table, "registry", "mirrors"}}
			if configs := doc.Field("plugins", table, "registry", "configs"); configs != nil && !w.r.AtLeast(2, 0, 0) {
				for _, host := range configs.Value.Fields {
					gone = append(gone, []string{"plugins", table, "registry", "configs", host.Name, "tls"})
				}
			}
			for _, path := range gone {
				data, err := doc.Remove(path...)
				if err != nil {
					return c, fmt.Errorf("%s: %w", f.place(path...), err)
				}
				if doc, err = tomldoc.Parse(data); err != nil {
					return c, fmt.Errorf("%s: %w", f.Path, err)
				}
			}
		}
		if data := doc.Bytes(); !bytes.Equal(data, f.Doc.Bytes()) {
			c = c.with(f.Path, data, w.r)
		}
	}
	return c, nil
}
